"""The speech that the next part of a text continues, without PyTorch.

Shapes: T units, V tokens of the vocabulary, E width of the token channel, P phases; `...` is the
shape of a unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sled.model.channel_tracker import ChannelTracker
from sled.onnx.folder import ModelSettings
from sled.text.incremental import IncrementalTokenizer


@dataclass(frozen=True, eq=False)
class OnnxVoice:
    """A voice in a folder of graphs.

    Attributes:
        text: What the recording says, normalised. Empty: the model reads none.
        tokens: The token that each unit says, see `SpokenPiece`. None: not known.
        units: [T, ...] of the recording. None: the model reads none.
        conditions: Arrays by name: `speaker` or `codec_speaker`, `prompt_tokens` and `prompt_mel`.
    """

    text: str = ""
    tokens: list[int] | None = None
    units: np.ndarray | None = None
    conditions: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TokenVectors:
    """The token channel of units, see `sled.codec.transforms.token_channel`.

    Attributes:
        tokens: [V, E - P].
        phases: [P, P].
    """

    tokens: np.ndarray
    phases: np.ndarray

    def tracker(self, settings: ModelSettings, frame_rate: float) -> ChannelTracker:
        """What tracks texts by it."""
        pace = settings.drawing.frames_per_token
        return ChannelTracker(self.tokens, self.phases, pace, frame_rate)

    def write(self, units: np.ndarray, tokens: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Units [T, ...] with tokens [T] of these numbers [T] in their channel; -1 for none."""
        parts = (self.tokens[tokens.clip(0)], self.phases[numbers % len(self.phases)])
        vectors = np.concatenate(parts, 1) * (tokens >= 0)[:, None]
        kept = units[:, : units.shape[1] - vectors.shape[1]]
        return np.concatenate((kept, vectors), 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class SpokenPiece:
    """A piece of speech, see `sled.streaming.spoken`.

    Attributes:
        text: Its text.
        units: [T, ...] its units.
        tokens: The token that each unit says, counted backwards from the end of the text. None: not
            known.
        is_apart: Whether its text is encoded by itself. Else it is one with the text behind it.
    """

    text: str
    units: np.ndarray
    tokens: list[int] | None
    is_apart: bool = False


class Past:
    """The voice and the newest segments, as far as they fit; see `sled.streaming.history`.

    Args:
        most: The most units to continue. None: any number.
        voice: The voice, which is always kept.
        is_apart: Whether its text is encoded by itself.
    """

    def __init__(self, most: float | None, voice: OnnxVoice, is_apart: bool) -> None:
        self._most = np.inf if most is None else most
        self._voice: list[SpokenPiece] = []
        if voice.units is not None:
            text = voice.text if is_apart else f"{voice.text} "
            self._voice = [SpokenPiece(text, voice.units, voice.tokens, is_apart)]
        self._segments: list[SpokenPiece] = []

    def add(self, newest: SpokenPiece) -> None:
        """Append a segment, and forget old ones that do not fit any more."""
        kept = [*self._segments, newest]
        while kept and sum(len(one.units) for one in (*self._voice, *kept)) > self._most:
            kept = kept[1:]
        if not self._voice:
            kept = kept or self._segments or [newest]
        self._segments = kept

    def tokens(self, tokenizer: IncrementalTokenizer) -> tuple[list[int], list[int]]:
        """The tokens of its text, and how many there are up to the end of each piece."""
        tokens, ends = list[int](), list[int]()
        for one in (*self._voice, *self._segments):
            tokens += tokenizer.feed(one.text)
            tokens += tokenizer.divide() if one.is_apart else []
            ends.append(len(tokens))
        return tokens, ends

    def units(
        self, tokens: list[int], ends: list[int], channel: TokenVectors | None
    ) -> np.ndarray | None:
        """Its units [T, ...], with the channel that they have in one text; None if there are none.

        Args:
            tokens: Its tokens, and the first one of what follows.
            ends: As `tokens` returned them.
            channel: The token channel. None: there is none.
        """
        pieces, start = [], 1  # after the first token of the text
        for one, end in zip((*self._voice, *self._segments), ends, strict=True):
            units = one.units
            if channel is not None and one.tokens is not None:
                at = np.array([max(start, end - back) for back in one.tokens])
                units = channel.write(units, np.array(tokens)[at], at)
            pieces.append(units)
            start = end
        return np.concatenate(pieces) if pieces else None
