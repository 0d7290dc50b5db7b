"""The last stage of a session: units to chunks of audio.

    TextStage -> SegmentRunner -> AudioStage

Its methods run on the engine's codec thread. It puts chunks into the session's audio queue.

Shapes: B sessions, T frames, S samples; `...` is the shape of a unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sled.codec import Codec
from sled.codec.stream_state import StreamState
from sled.streaming.audio_queue import AudioQueue, Chunk
from sled.streaming.lead import ListenerClock
from sled.streaming.loudness import SilenceMeter, amplify
from sled.streaming.mark_timeline import MarkTimeline
from sled.streaming.place_reader import SpokenPlaces
from sled.streaming.trimming import TailTrimmer
from sled.streaming.voice import Voice

# The longest piece of a pause.
MAX_SILENCE_S = 0.4


@dataclass(frozen=True, eq=False)
class UnitChunk:
    """Units on their way from the segment runner to the codec.

    Attributes:
        units: [T, ...], any number of frames.
        segment: The number of the segment that they belong to.
        last: Whether they end the speech of the session.
        start_delay_s: How long to hold the first sound, if this chunk makes it.
        pause_s: The silence after them, in seconds.
        places: What they say.
        ends_segment: Whether they end the speech of their segment.
    """

    units: Tensor
    segment: int
    last: bool = False
    start_delay_s: float = 0.0
    pause_s: float = 0.0
    places: SpokenPlaces = field(default_factory=SpokenPlaces)
    ends_segment: bool = False


@dataclass(frozen=True)
class Silence:
    """How long a segment has been silent.

    Attributes:
        segment: Its number.
        seconds: The length of the near-silence at its end so far.
    """

    segment: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class AudioState:
    """An `AudioStage` as a value.

    Attributes:
        stream: The codec's state.
        samples_to_skip: Samples of the voice's recording that are still to be dropped.
        meter: Measures silence.
        trimmer: Trims the end. None: nothing is trimmed.
        segment: The number of the current segment.
        segment_start: The sample at which it began.
        has_sound: Whether the first sound has been made.
        num_expected: Samples of all units so far, those of the voice's recording included.
        num_decoded: How many of them the codec has returned.
        pauses: Pauses to come: after which of these samples, and how many samples they last.
        timeline: When each word is said.
        num_taken: Samples that have been taken.
        waiting: Chunks that have not been taken.
        complete: Whether nothing is left to be made.
    """

    stream: StreamState
    samples_to_skip: int
    meter: SilenceMeter
    trimmer: TailTrimmer | None
    segment: int
    segment_start: int
    has_sound: bool
    num_expected: int
    num_decoded: int
    timeline: MarkTimeline
    num_taken: int
    pauses: tuple[tuple[int, int], ...] = ()
    waiting: list[Chunk] = field(default_factory=list)
    complete: bool = False


class AudioStage:
    """Makes audio of the units of one session.

    Args:
        codec: The codec.
        queue: Receives the audio.
        on_end: Called when all audio has been put into the queue.
        voice: The codec has decoded this voice's recording; its speech is dropped.
        trim_tail: Whether to drop near-silence at the end.
        gain_db: What the audio is amplified by.
        playback_speed: See `SessionOptions`.

    Attributes:
        state: The codec's state, advanced by `decode_together`.
        lookahead_frames: Frames after the first that the first sound waits for.
        delayed_frames: Of these, the ones whose sound does not come with the first.
        by_segment: Whether sound comes only when a segment ends.
        conditions: What the codec is conditioned on beside the units.
        silence: How long the current segment has been silent; read by the segment runner.
        timeline: When each word is said; read by the session.
        listener: How much of the audio has been played; read by the segment runner.
        num_frames: Frames that have become audio; read by the segment runner.
    """

    def __init__(
        self,
        codec: Codec,
        queue: AudioQueue,
        on_end: Callable[[], None],
        voice: Voice | None = None,
        trim_tail: bool = False,
        gain_db: float = 0.0,
        playback_speed: float = 1.0,
    ) -> None:
        stream = codec.stream_decoder()
        self._queue, self._on_end, self._gain_db = queue, on_end, gain_db
        self.state = stream.state if voice is None else voice.codec_state
        given = {} if voice is None else voice.conditions
        self.conditions: Mapping[str, Tensor] = {
            name: one for name, one in given.items() if name not in codec.prompt_conditions
        }
        self._samples_to_skip = 0
        if voice is not None:
            self._samples_to_skip = len(voice.units) * codec.hop_length - voice.num_samples
        started = self.state.started
        self.lookahead_frames = 0 if started else stream.lookahead_frames
        self.delayed_frames = 0 if started else stream.delayed_frames
        self.by_segment = stream.by_segment
        self._sample_rate = codec.sample_rate
        self._meter = SilenceMeter(codec.sample_rate)
        self._trimmer = TailTrimmer(codec.sample_rate) if trim_tail else None
        self._segment = self._segment_start = 0
        self._has_sound = False
        self._num_expected, self._num_decoded = self._samples_to_skip, 0
        self._pauses: tuple[tuple[int, int], ...] = ()
        self._hop_length = codec.hop_length
        self.silence, self.num_frames = Silence(), 0
        self.timeline = MarkTimeline(codec.sample_rate, codec.hop_length)
        self.listener = ListenerClock(codec.sample_rate * playback_speed)
        queue.call_on_take(self.listener.take)

    def accept(self, decoded: Tensor, chunk: UnitChunk) -> None:
        """Put the audio of a chunk of units into the queue.

        Args:
            decoded: [S] the codec's next samples.
            chunk: The units that the codec has decoded.

        Raises:
            ValueError: If a sample is not finite.
        """
        if not decoded.isfinite().all():
            raise ValueError(
                "the speech has values that are not finite: try a lower cfg or temperature, or a "
                "wider dtype than float16"
            )
        self.num_frames += len(chunk.units)
        self._num_expected += len(chunk.units) * self._hop_length
        pause = round(chunk.pause_s * self._sample_rate)
        if pause:
            self._pauses = (*self._pauses, (self._num_expected, pause))
        self.timeline.add(chunk.places, chunk.segment, pause)
        if chunk.segment != self._segment:
            self._segment, self._segment_start = chunk.segment, self._meter.num_samples
        units = chunk.units.float() if chunk.units.is_floating_point() else chunk.units
        units = units.cpu().clone()
        for samples, pause_samples in self._divide(decoded):
            self._put(self._to_audio(samples), units, chunk)
            units = units[:0]
            if pause_samples:
                if self._trimmer is not None:
                    self._put(self._trimmer.release(), units, chunk)
                for piece in self._silence(pause_samples):
                    self._put(piece, units, chunk, is_pause=True)
        if chunk.last:
            if self._trimmer is not None:
                self._put(self._trimmer.finish(), units, chunk)
            self.timeline.finish(self._queue.num_put)
            self._queue.end()
            self._on_end()

    def _silence(self, num_samples: int) -> Iterator[np.ndarray]:
        """Silence in pieces as long as those of speech are at most.

        They are parts of one array, of which the system gives memory to what is written only.
        """
        silence, longest = (
            np.zeros(num_samples, np.float32),
            round(MAX_SILENCE_S * self._sample_rate),
        )
        for start in range(0, num_samples, longest):
            yield silence[start : start + longest]

    def _divide(self, decoded: Tensor) -> Iterator[tuple[Tensor, int]]:
        """Cut decoded samples at the pauses in them; each part with the length of its pause."""
        while self._pauses and self._pauses[0][0] <= self._num_decoded + len(decoded):
            (end, pause), *others = self._pauses
            self._pauses = tuple(others)
            num_before = end - self._num_decoded
            self._num_decoded = end
            yield decoded[:num_before], pause
            decoded = decoded[num_before:]
        self._num_decoded += len(decoded)
        yield decoded, 0

    def _put(
        self, audio: np.ndarray, units: Tensor, chunk: UnitChunk, *, is_pause: bool = False
    ) -> None:
        """Put audio into the queue, and the units that went into the codec for it."""
        if len(audio) and not self._has_sound:
            self._has_sound = True
            self._queue.hold(chunk.start_delay_s)
        if not is_pause:
            audio = amplify(audio, self._gain_db)
        self._queue.put(Chunk(audio, units, is_pause))

    def _to_audio(self, decoded: Tensor) -> np.ndarray:
        skipped = min(self._samples_to_skip, len(decoded))
        self._samples_to_skip -= skipped
        audio: np.ndarray = decoded[skipped:].cpu().numpy()
        self.timeline.hear(self._meter.feed(audio))
        silent = self._meter.num_samples - max(self._meter.speech_end, self._segment_start)
        self.silence = Silence(self._segment, silent / self._sample_rate)
        return audio if self._trimmer is None else self._trimmer.feed(audio)

    @property
    def is_wanted(self) -> bool:
        """Whether the audio is still wanted."""
        return not self._queue.closed

    def save(self) -> AudioState:
        """The state of the stage."""
        return AudioState(
            self.state,
            self._samples_to_skip,
            deepcopy(self._meter),
            deepcopy(self._trimmer),
            self._segment,
            self._segment_start,
            self._has_sound,
            self._num_expected,
            self._num_decoded,
            self.timeline.copy(),
            self._queue.num_taken,
            self._pauses,
            self._queue.waiting(),
            self._queue.complete,
        )

    def restore(self, state: AudioState) -> None:
        """Continue from a saved state; called before the stage is given any units."""
        self.state, self._samples_to_skip = state.stream, state.samples_to_skip
        self._meter, self._trimmer = deepcopy(state.meter), deepcopy(state.trimmer)
        self._segment, self._segment_start = state.segment, state.segment_start
        self._has_sound = state.has_sound
        self._num_expected, self._num_decoded = state.num_expected, state.num_decoded
        self._pauses = state.pauses
        self.timeline = state.timeline.copy()
        self._queue.num_taken = state.num_taken
        for chunk in state.waiting:
            self._queue.put(chunk)
        if state.complete:
            self._queue.end()


def decode_together(
    codec: Codec,
    stages: Sequence[AudioStage],
    units: Sequence[Tensor],
    *,
    ends_segment: bool = False,
    last: bool,
) -> Tensor:
    """Decode the next units of several sessions as one batch.

    Args:
        codec: Decodes.
        stages: B stages whose codec states are of one kind; their states are advanced.
        units: B times [T, ...], all of the same length T.
        ends_segment: Whether these units end a segment, in all B sessions.
        last: Whether these are the last units of all B sessions.

    Returns:
        [B, S] samples, as each session would get alone.
    """
    decoder = codec.stream_decoder(len(stages), _join([stage.conditions for stage in stages]))
    decoder.state = StreamState.cat([stage.state for stage in stages])
    joined = torch.stack(tuple(units))
    if joined.is_floating_point():
        joined = joined.float()
    pieces = [joined.new_empty(len(stages), 0, dtype=torch.float32)]
    if joined.shape[1]:
        pieces.append(decoder.decode(joined))
    if ends_segment:
        pieces.append(decoder.end_segment())
    if last:
        pieces.append(decoder.finish())
    for row, stage in enumerate(stages):
        stage.state = decoder.state.select([row])
    return torch.cat(pieces, dim=1)


def _join(conditions: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor] | None:
    """Conditions [B, width] by name; None if there are none."""
    names = conditions[0].keys()
    return {name: torch.stack([one[name] for one in conditions]) for name in names} or None
