"""Text to speech with a folder of ONNX graphs, without PyTorch.

from sled.onnx.tts import OnnxTTS

tts = OnnxTTS("exported")
audio = tts.say("four two seven")

Texts are read, divided and normalised as in sessions, and each part continues the one before.

Shapes: S samples, T units; `...` is the shape of a unit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from sled.files.suggest import did_you_mean
from sled.model.order import Order
from sled.onnx.audio import open_stream
from sled.onnx.decode import SpokenBefore, Utterance, with_drawing
from sled.onnx.draws import Noise
from sled.onnx.folder import TOKENIZER, GraphFolder, ModelSettings
from sled.onnx.past import OnnxVoice, Past, SpokenPiece, TokenVectors
from sled.onnx.stream import UnitStream
from sled.streaming.loudness import amplify
from sled.streaming.text_stage import TextEvent, TextStage
from sled.text.incremental import IncrementalTokenizer
from sled.text.segments import SegmentLimits
from sled.text.tokenizer import TextTokenizer

# Units are decoded in pieces of about this length.
CHUNK_S = 0.4


class OnnxTTS:
    """Speaks with the graphs of a folder.

    Args:
        folder: As `sled export --onnx` writes it.
        threads: CPU threads.

    Attributes:
        sample_rate: Of the audio, in Hz.
        voices: The voices in the folder, by name.

    Raises:
        ValueError: If it is no such folder.
    """

    def __init__(self, folder: str | Path, threads: int = 1) -> None:
        self._graphs = GraphFolder(folder, threads)
        settings = self._graphs.settings
        self._settings = ModelSettings.from_dict(settings["model"])
        self.sample_rate = int(settings["codec"]["sample_rate"])
        self._tokenizer = TextTokenizer.from_pretrained(
            self._graphs.folder / TOKENIZER,
            self._settings.normalization,
            self._settings.bos_id,
            self._settings.eos_id,
            text_end_id=self._settings.text_end_id,
        )
        self.voices = {
            name: OnnxVoice(one["text"], one["tokens"], *self._voice_arrays(name))
            for name, one in settings["voices"].items()
        }
        self._channel = None
        if "channel.tokens" in self._graphs.arrays:
            self._channel = TokenVectors(
                self._graphs.arrays["channel.tokens"], self._graphs.arrays["channel.phases"]
            )

    def _voice_arrays(self, name: str) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
        prefix = f"voice.{name}."
        arrays = {
            key.removeprefix(prefix): one
            for key, one in self._graphs.arrays.items()
            if key.startswith(prefix)
        }
        return arrays.pop("units", None), arrays

    def say(self, text: str, **settings: Any) -> np.ndarray:
        """Speak a text; returns samples [S] float32. Settings are those of `stream`."""
        return np.concatenate([np.zeros(0, np.float32), *self.stream(text, **settings)])

    def stream(
        self,
        text: str | Iterable[str],
        *,
        voice: str | None = None,
        seed: int = 0,
        layout: str | None = None,
        cfg: float | None = None,
        temperature: float | None = None,
        noise: Noise | None = None,
    ) -> Iterator[np.ndarray]:
        """Speak a text as it comes.

        Args:
            text: The text, or pieces of it.
            voice: One of `voices`. None: the stored speaker if there is one only, else no voice.
            seed: Seed of the random numbers.
            layout: "offline": all text is read before speech begins. "stream": speech begins while
                the text comes, if the model knows that. None: as the model does by default.
            cfg: Guidance scale. None: as exported.
            temperature: Scale of the noise. None: as exported.
            noise: Random numbers instead of those of the seed.

        Yields:
            The next samples [S], float32.

        Raises:
            ValueError: If there is no such voice, no such layout, or nothing to say in the text.
        """
        model = with_drawing(self._settings, cfg, temperature)
        orders = {None: model.order, "offline": Order(), "stream": model.streaming_order}
        if layout not in orders:
            raise ValueError(f"layout {layout!r}: choose offline or stream")
        chosen = self._voice(voice)
        noise = np.random.default_rng(seed) if noise is None else noise
        codec = self._graphs.settings["codec"]
        speaker = chosen.conditions.get("speaker")
        heard = chosen.conditions.get("codec_speaker", speaker)  # the model may be given none
        prompt = (chosen.conditions.get(name) for name in ("prompt_tokens", "prompt_mel"))
        audio = _Audio(
            open_stream(self._graphs, heard, *prompt),
            codec["hop_length"],
            self._graphs.settings["gain_db"],
        )
        if codec["kind"] == "latents" and chosen.units is not None:
            audio.skip(chosen.units)
        chunk = max(1, round(CHUNK_S * self.sample_rate / codec["hop_length"]))
        longest, is_apart = (
            self._graphs.settings["past_frames"],
            self._tokenizer.encodes_prompts_apart,
        )
        past, tracker = Past(longest, chosen, is_apart), None
        if self._channel is not None:
            tracker = self._channel.tracker(model, self.sample_rate / codec["hop_length"])
        events = _Events(self._tokenizer, self._graphs.settings, text)
        while (segment := events.next_segment()) is not None:
            tokens = IncrementalTokenizer(self._tokenizer)
            known, ends = past.tokens(tokens)
            following = _tokens_of(tokens, segment)
            first = list(islice(following, 1))  # what silence at the end of the past says
            units = past.units([*known, *first], ends, self._channel)
            utterance = Utterance(
                self._graphs,
                model,
                chain(known, first, following),
                orders[layout],
                noise,
                None if units is None else SpokenBefore(len(known), units),
                speaker if self._graphs.has("speaker") else None,
                tracker,
            )
            drawing, said, waiting = utterance.units(), list[np.ndarray](), list[np.ndarray]()
            positions = list[int]()
            while True:
                try:
                    unit = next(drawing)
                except StopIteration as end:
                    if end.value and said:
                        last = utterance.num_tokens - 1
                        back = [last - one for one in positions] if positions else None
                        past.add(SpokenPiece(segment.text, np.stack(said), back))
                    break
                said.append(unit)
                if utterance.text_position is not None:
                    positions.append(utterance.text_position.best)
                waiting.append(unit)
                if len(waiting) == chunk:
                    yield from audio.feed(np.stack(waiting))
                    waiting = []
            for _ in segment.pieces():  # what was not read, if speech was cut
                pass
            if waiting:
                yield from audio.feed(np.stack(waiting))
            yield from audio.end_segment()
            audio.pause(round(segment.pause_s * self.sample_rate))
        yield from audio.finish()

    def _voice(self, name: str | None) -> OnnxVoice:
        if name is None:
            stored = [one for one in self.voices.values() if one.units is None]
            return stored[0] if len(stored) == 1 else OnnxVoice()
        if name not in self.voices:
            known = ", ".join(sorted(self.voices)) or "none"
            raise ValueError(
                f"there is no voice {name!r}{did_you_mean(name, self.voices)}: choose from {known}"
            )
        return self.voices[name]


class _Segment:
    """A part of a text, whose end may not have come."""

    def __init__(self, events: _Events, first: TextEvent) -> None:
        self._events, self._waiting = events, deque([first])
        self.text, self.pause_s, self.ended = "", 0.0, False

    def pieces(self) -> Iterator[str]:
        """The text, in pieces as they come."""
        while not self.ended:
            event = self._waiting.popleft() if self._waiting else self._events.next_event()
            assert event is not None
            self.ended, self.pause_s = event.ends_segment, event.pause_s
            self.text += event.text
            yield event.text


class _Events:
    """A text in segments."""

    def __init__(
        self, tokenizer: TextTokenizer, settings: dict[str, Any], text: str | Iterable[str]
    ) -> None:
        self._queue: deque[TextEvent] = deque()
        self._taken = 0
        self._stage = TextStage(
            tokenizer,
            SegmentLimits(**settings["segments"]),
            self._queue.append,
            lambda: self._taken,
            known_words=settings["known_words"],
        )
        self._pieces = iter([text] if isinstance(text, str) else text)
        self._ended = False

    def next_event(self) -> TextEvent | None:
        """The next event; None at the end."""
        while not self._queue:
            if self._stage.work() or self._queue:
                continue
            if self._ended:
                return None
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
                self._stage.end(0.0)
            else:
                self._stage.feed(piece, 0.0)
        event = self._queue.popleft()
        self._taken += event.ends_segment
        return event

    def next_segment(self) -> _Segment | None:
        """The next segment that is not blank; None at the end."""
        while (event := self.next_event()) is not None:
            if event.text.strip():
                return _Segment(self, event)
        return None


def _tokens_of(tokens: IncrementalTokenizer, segment: _Segment) -> Iterator[int]:
    """The tokens of a segment."""
    for piece in segment.pieces():
        yield from tokens.feed(piece)
    yield from tokens.finish()


class _Audio:
    """Units to samples, with the pauses that the text asks for."""

    def __init__(self, stream: UnitStream, hop_length: int, gain_db: float) -> None:
        self._stream, self._hop, self._gain_db = stream, hop_length, gain_db
        self._num_units = self._num_made = self._num_skipped = 0
        self._pauses: deque[tuple[int, int]] = deque()  # after which sample, and how many

    def skip(self, units: np.ndarray) -> None:
        """Decode units whose samples are not returned."""
        self._num_skipped = len(units) * self._hop
        for _ in self.feed(units):
            pass

    def pause(self, samples: int) -> None:
        """Insert silence after the units so far."""
        if samples:
            self._pauses.append((self._num_units * self._hop, samples))

    def feed(self, units: np.ndarray) -> Iterator[np.ndarray]:
        """The samples that are complete with these units."""
        self._num_units += len(units)
        yield from self._divided(self._stream.feed(units))

    def end_segment(self) -> Iterator[np.ndarray]:
        """The samples that come at the end of a segment."""
        yield from self._divided(self._stream.end_segment())

    def finish(self) -> Iterator[np.ndarray]:
        """The remaining samples."""
        yield from self._divided(self._stream.finish())

    def _divided(self, samples: np.ndarray) -> Iterator[np.ndarray]:
        while self._pauses and self._pauses[0][0] <= self._num_made + len(samples):
            place, pause = self._pauses.popleft()
            before, samples = np.split(samples, [place - self._num_made])
            yield from self._heard(before)
            yield np.zeros(pause, np.float32)
        yield from self._heard(samples)

    def _heard(self, samples: np.ndarray) -> Iterator[np.ndarray]:
        start = max(0, self._num_skipped - self._num_made)
        self._num_made += len(samples)
        if len(samples) > start:
            yield amplify(samples[start:], self._gain_db)
