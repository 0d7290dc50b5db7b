"""Decoding with ONNX graphs: from text tokens to units of speech, for one text at a time.

It does what `sled.decoding` does for one utterance, with the same limits, without PyTorch.

Shapes: E width of inputs, H hidden width, Q new inputs, P prompt frames; `...` is the shape of a
unit.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace

import numpy as np

from sled.model.channel_tracker import ChannelTracker
from sled.model.order import Order
from sled.model.token_passage import TextPosition
from sled.onnx.draws import Noise, draw_id, noise_variants, score_to_keep
from sled.onnx.folder import GraphFolder, ModelSettings

_INITIAL_CAPACITY = 256


@dataclass(frozen=True, eq=False)
class SpokenBefore:
    """Speech that is continued.

    Attributes:
        tokens: How many tokens at the beginning of the text belong to it.
        units: [P, ...].
    """

    tokens: int
    units: np.ndarray


class _Row:
    """A sequence of inputs, with the keys and values of what has been read."""

    def __init__(self, graphs: GraphFolder, settings: ModelSettings) -> None:
        self._graphs = graphs
        self._names = [
            f"{kind}.{layer}" for kind in ("keys", "values") for layer in range(settings.layers)
        ]
        shape = (_INITIAL_CAPACITY, *settings.cache_shape)
        self._cache = {name: np.empty(shape, np.float32) for name in self._names}
        self._count, self._hidden = 0, np.zeros(0, np.float32)
        self.unread: list[np.ndarray] = []  # [Q, E]

    def read(self) -> np.ndarray:
        """Read all inputs, if there are any; returns the hidden state [H] of the newest."""
        if not self.unread:
            return self._hidden
        inputs = np.concatenate(self.unread)
        self.unread, start = [], self._count
        known = {name: one[:start] for name, one in self._cache.items()}
        self._hidden, *new = self._graphs.run("step", {"inputs": inputs, **known})
        self._count += len(inputs)
        for name, one in zip(self._names, new, strict=True):
            if self._count > len(self._cache[name]):
                capacity = max(self._count, 2 * len(self._cache[name]))
                self._cache[name] = np.resize(self._cache[name], (capacity, *one.shape[1:]))
            self._cache[name][start : self._count] = one
        return self._hidden


class _Text:
    """Tokens that may be taken one after the other; whether they end is known one ahead."""

    def __init__(self, tokens: Iterable[int]) -> None:
        self._tokens = iter(tokens)
        self._next = next(self._tokens, None)
        self.taken: list[int] = []

    @property
    def num_taken(self) -> int:
        """How many have been taken."""
        return len(self.taken)

    @property
    def ended(self) -> bool:
        """Whether all have been taken."""
        return self._next is None

    @property
    def num_known(self) -> int:
        """Those taken, and the next one."""
        return self.num_taken + (not self.ended)

    def take(self, until: float) -> list[int]:
        """The next tokens, so that this many have been taken in all, or all that there are."""
        before = self.num_taken
        while self._next is not None and self.num_taken < until:
            self.taken.append(self._next)
            self._next = next(self._tokens, None)
        return self.taken[before:]


class Utterance:
    """A text that is being said.

    Args:
        graphs: The graphs of the model.
        settings: Of the model.
        tokens: The text with its first and last token, and that of what is continued in front. They
            are taken as they are needed, so they may come from a text that is being written.
        order: The order of text and speech.
        noise: Random numbers.
        before: What is continued. None: nothing.
        speaker: [W] a speaker vector. None: none.
        tracker: Tracks which token is being said, if the units tell. None: they do not.

    Attributes:
        prompt_tokens: Tokens of what is continued.
        text_position: Which token is being said. None: not known.

    Raises:
        ValueError: If the model needs a speaker vector, or takes none.
    """

    def __init__(
        self,
        graphs: GraphFolder,
        settings: ModelSettings,
        tokens: Iterable[int],
        order: Order,
        noise: Noise,
        before: SpokenBefore | None = None,
        speaker: np.ndarray | None = None,
        tracker: ChannelTracker | None = None,
    ) -> None:
        self._tracker = tracker
        self.text_position: TextPosition | None = None
        self._graphs, self._settings, self._order, self._noise = graphs, settings, order, noise
        self._text = _Text(tokens)
        empty = np.zeros((0,), np.float32)
        self._before = SpokenBefore(0, empty) if before is None else before
        self.prompt_tokens = self._before.tokens
        prefix = self._prefix(speaker)
        self._num_conditions = len(prefix)
        self._rows = [_Row(graphs, settings)]
        if settings.drawing.cfg != 1:  # the same speech behind the end of a text
            self._rows.append(_Row(graphs, settings))
        for row in self._rows:
            row.unread.append(prefix)
        self._rows[-1].unread += self._embed([settings.eos_id]) if len(self._rows) > 1 else []
        self._num_frames = self._left_out = self._num_written = 0
        self._recent: list[int] = []
        self._line_up()

    def tokens_read(self, start: int, stop: int) -> list[int]:
        """The tokens `start:stop` of the text, as far as they have been read."""
        return self._text.taken[start:stop]

    def tokens_left(self, token: int) -> float:
        """Tokens from this one to the end of the text; infinite while the text may grow."""
        return self._text.num_taken - token if self._text.ended else math.inf

    @property
    def num_tokens(self) -> int:
        """Tokens of the text so far."""
        return self._text.num_known

    def _prefix(self, speaker: np.ndarray | None) -> np.ndarray:
        if speaker is not None:
            if not self._graphs.has("speaker"):
                raise ValueError("the model takes no speaker vector")
            return self._graphs.run("speaker", {"speaker": speaker.astype(np.float32)})[0]
        if (prefix := self._graphs.arrays.get("prefix")) is None:
            raise ValueError("the model speaks with a speaker vector: choose a voice")
        return prefix

    def _embed(self, tokens: list[int]) -> list[np.ndarray]:
        if not tokens:
            return []
        return self._graphs.run("text", {"tokens": np.array(tokens, np.int64)})

    @property
    def _place(self) -> int:
        """The place of the next frame in the layout."""
        return self._num_frames + self._left_out

    def _line_up(self) -> None:
        """Let the rows read all text, and all that is continued, up to the next frame."""
        waiting = self._before.units[self._num_frames :]
        while True:
            tokens = self._text.take(self._order.tokens_before(self._place, math.inf))
            self._rows[0].unread += self._embed(tokens)
            if not len(waiting):
                return
            count = int(min(len(waiting), self._order.frames_in_chunk_after(self._place)))
            self._add_units(waiting[:count])
            self._num_frames += count
            waiting = waiting[count:]

    def _add_units(self, units: np.ndarray) -> None:
        for row in self._rows:
            row.unread += self._graphs.run("units", {"units": units})

    def units(self) -> Generator[np.ndarray, None, bool]:
        """Draw the units [...] of the speech; returns whether it ended by itself."""
        ids, order = self._settings.ids, self._order
        while True:
            hidden, *others = (row.read() for row in self._rows)
            guided, drawing = hidden, self._settings.drawing
            for free in others:
                guided = free + np.float32(drawing.cfg) * (hidden - free)
            text_follows = not self._text.ended
            may_stop = not text_follows and self._num_written >= self._usual_frames()[0]
            stops = may_stop and self._stops(hidden)
            if ids is None:
                unit = self._draw(guided)
            else:
                unit = self._draw_id(self._scores(guided, hidden), may_stop)
            if self._tracker is not None:
                flags = (np.array([stops]), np.array([may_stop]))
                width = self._tracker.width
                channel, ended = self._tracker.follow([self], unit[None, -width:], *flags)
                unit = np.concatenate((unit[:-width], channel[0])).astype(np.float32)
                stops = bool(ended[0])
            if ids is not None:
                if unit == ids.fill and not order.is_offline:  # the chunk ends early
                    self._left_out += int(order.frames_in_chunk_after(self._place))
                    self._line_up()
                    continue
                stops = stops or bool(unit >= ids.speech)
            if stops:
                return True
            self._num_frames += 1
            self._num_written += 1
            ends_chunk = order.speech_chunk and self._place % order.speech_chunk == 0
            if ids is not None and ids.fill is not None and text_follows and ends_chunk:
                self._remember(ids.fill)
            yield unit
            self._add_units(unit[None])
            self._line_up()
            if self._frames_before_cut() <= 0:
                return False

    def _stops(self, hidden: np.ndarray) -> bool:
        if not self._graphs.has("stop"):  # an id ends speech
            return False
        [probability] = self._graphs.run("stop", {"hidden": hidden[None]})[0]
        thresholds = self._settings.drawing.stop_thresholds
        return bool(probability >= thresholds[not self._order.is_offline])

    def _draw(self, hidden: np.ndarray) -> np.ndarray:
        drawing = self._settings.drawing
        normal = self._noise.standard_normal(self._settings.noise_width).astype(np.float32)
        noise = noise_variants(np.float32(drawing.temperature) * normal, drawing.draws)
        inputs = {"hidden": np.tile(hidden, (drawing.draws, 1)), "noise": noise}
        units: np.ndarray = self._graphs.run("draw", inputs)[0].mean(0)
        return units

    def _scores(self, guided: np.ndarray, plain: np.ndarray) -> np.ndarray:
        """Scores [S] of ids; whether a chunk ends is not guided, as in `eager_step`."""
        ids = self._settings.ids
        scores: np.ndarray = self._graphs.run("scores", {"hidden": guided[None]})[0][0]
        if ids is not None and ids.fill is not None and len(self._rows) > 1:
            [unguided] = self._graphs.run("scores", {"hidden": plain[None]})[0]
            scores[ids.fill] = score_to_keep(scores, unguided, ids.fill)
        return scores

    def _draw_id(self, scores: np.ndarray, may_stop: bool) -> np.ndarray:
        ids, drawing = self._settings.ids, self._settings.drawing
        assert ids is not None
        forbidden = [] if may_stop or ids.end is None else [ids.end]
        useless: set[int] = set()
        if not self._order.is_offline:
            useless = set(range(ids.speech + 1, ids.scored))
            if not self._text.ended:
                useless -= {ids.fill}
        drawn = draw_id(
            scores,
            drawing.temperature,
            drawing.sampling,
            self._noise,
            self._recent,
            forbidden,
            useless,
            ids.unknown,
        )
        self._remember(drawn)
        return np.array(drawn)

    def _remember(self, unit: int) -> None:
        window = self._settings.drawing.sampling.window
        self._recent = [*self._recent, unit][-window:] if window else []

    def _usual_frames(self) -> tuple[float, float]:
        """The fewest and the most frames that its text takes, see `sled.decoding.limits`."""
        drawing, settings = self._settings.drawing, self._settings
        if drawing.length_tolerance is None or drawing.frames_per_token is None:
            return 0.0, math.inf
        low, high = drawing.frames_per_token
        if settings.ids is None or settings.ids.end is None:
            count = self._text.num_taken - max(0, self._before.tokens - 1)
        else:
            low = low if self._order.is_offline else 0.0
            # Without the tokens that mark the ends of the text.
            before = max(int(settings.bos_id is not None), self._before.tokens)
            count = self._text.num_taken - before - 1 - (settings.text_end_id is not None)
        return count * low / drawing.length_tolerance, count * high * drawing.length_tolerance

    def _frames_before_cut(self) -> float:
        filled = self._num_conditions + self._text.num_known + self._num_frames
        left = float(self._settings.positions - filled)
        if self._text.ended:
            left = min(left, self._usual_frames()[1] - self._num_written)
        return left


def with_drawing(
    settings: ModelSettings, cfg: float | None, temperature: float | None
) -> ModelSettings:
    """Settings with another way of drawing; None leaves a value as it is."""
    drawing = settings.drawing
    drawing = replace(
        drawing,
        cfg=drawing.cfg if cfg is None else cfg,
        temperature=drawing.temperature if temperature is None else temperature,
    )
    return replace(settings, drawing=drawing)
