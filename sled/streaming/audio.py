"""From frames to audio, as they come."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sled.codec import Codec
from sled.codec.stream_state import StreamState
from sled.streaming.loudness import SilenceMeter
from sled.streaming.trimming import TailTrimmer
from sled.streaming.voice import Voice


@dataclass(frozen=True, eq=False)
class AudioState:
    """An `AudioStream` as a value."""

    stream: StreamState
    samples_to_skip: int
    meter: SilenceMeter
    trimmer: TailTrimmer | None
    segment: int
    segment_start: int


class AudioStream:
    """The speech of one session: where the codec's decoder stands, and what becomes of its samples.

    Args:
        codec: Decodes.
        voice: Whose prompt the decoder has gone through; its speech is left out.
        trim_tail: Leave out near-silence at the end.

    Attributes:
        state: Of the decoder, to be advanced by `decode_together`.
        lookahead_frames: Frames after the first that its audio still waits for.
    """

    def __init__(self, codec: Codec, voice: Voice | None, trim_tail: bool) -> None:
        stream = codec.stream_decoder()
        self.state = stream.state if voice is None else voice.run_in
        self._samples_to_skip = 0
        if voice is not None:
            self._samples_to_skip = len(voice.latents) * codec.hop_length - voice.samples_run_in
        self.lookahead_frames = 0 if self.state.started else stream.lookahead_frames
        self._sample_rate = codec.sample_rate
        self._meter = SilenceMeter(codec.sample_rate)
        self._trimmer = TailTrimmer(codec.sample_rate) if trim_tail else None
        self._segment = self._segment_start = 0

    def accept(self, decoded: Tensor, segment: int, *, last: bool) -> np.ndarray:
        """Audio of the decoder's next samples.

        Args:
            decoded: [S], any number.
            segment: The number of the segment they belong to.
            last: Whether they are the last of all.

        Returns:
            [S'] float32.

        Raises:
            ValueError: If there is anything but finite numbers in it.
        """
        if not decoded.isfinite().all():
            raise ValueError(
                "the speech holds values that are not finite: try a lower cfg or temperature, or "
                "a wider dtype than float16"
            )
        skipped = min(self._samples_to_skip, len(decoded))
        self._samples_to_skip -= skipped
        audio = decoded[skipped:].cpu().numpy()
        if segment != self._segment:
            self._segment, self._segment_start = segment, self._meter.num_samples
        self._meter.feed(audio)
        if self._trimmer is not None:
            audio = self._trimmer.feed(audio)
            if last:
                audio = np.concatenate((audio, self._trimmer.finish()))
        return audio

    @property
    def silence_s(self) -> float:
        """How long the segment has been silent by now."""
        meter = self._meter
        silence = meter.num_samples - max(meter.speech_end, self._segment_start)
        return silence / self._sample_rate

    def save(self) -> AudioState:
        """The stream as it stands."""
        return AudioState(
            self.state,
            self._samples_to_skip,
            deepcopy(self._meter),
            deepcopy(self._trimmer),
            self._segment,
            self._segment_start,
        )

    def restore(self, state: AudioState) -> None:
        """Go on from where another stream stood."""
        self.state, self._samples_to_skip = state.stream, state.samples_to_skip
        self._meter, self._trimmer = deepcopy(state.meter), deepcopy(state.trimmer)
        self._segment, self._segment_start = state.segment, state.segment_start


def decode_together(
    codec: Codec, streams: Sequence[AudioStream], latents: Sequence[Tensor], *, last: bool
) -> Tensor:
    """Let the decoder go on in several streams at once, as it would in each alone.

    Args:
        codec: Of all of them.
        streams: B of them, whose states are of one kind; they are advanced.
        latents: B times [T, D], any number T.
        last: Whether these are the last of all, after which everything comes out.

    Returns:
        [B, S] samples.
    """
    decoder = codec.stream_decoder(len(streams))
    decoder.state = StreamState.cat([stream.state for stream in streams])
    frames = torch.stack(tuple(latents)).float()
    pieces = [decoder.decode(frames)] if frames.shape[1] else []
    if last:
        pieces.append(decoder.finish())
    for row, stream in enumerate(streams):
        stream.state = decoder.state.select([row])
    return torch.cat(pieces, dim=1)
