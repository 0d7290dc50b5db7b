"""From frames to audio, as they come."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sled.codec import Codec
from sled.codec.streaming_state import StreamState
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
    """The codec's decoder, without the speech of a voice's prompt.

    Args:
        codec: Decodes.
        voice: Whose prompt the decoder has gone through.
        trim_tail: Leave out near-silence at the end.

    Attributes:
        lookahead_frames: Frames after the first that its audio still waits for.
    """

    def __init__(self, codec: Codec, voice: Voice | None, trim_tail: bool) -> None:
        self._stream = codec.stream_decoder()
        self._samples_to_skip = 0
        if voice is not None:
            self._stream.state = voice.run_in
            self._samples_to_skip = len(voice.latents) * codec.hop_length - voice.samples_run_in
        started = self._stream.state.started
        self.lookahead_frames = 0 if started else self._stream.lookahead_frames
        self._sample_rate = codec.sample_rate
        self._meter = SilenceMeter(codec.sample_rate)
        self._trimmer = TailTrimmer(codec.sample_rate) if trim_tail else None
        self._segment = self._segment_start = 0

    def decode(self, latents: Tensor, segment: int, *, last: bool) -> np.ndarray:
        """Audio of the next frames.

        Args:
            latents: [T, D], any number.
            segment: The number of the segment they belong to.
            last: Whether they are the last of all, after which everything comes out.

        Returns:
            [S] float32.

        Raises:
            ValueError: If there is anything but finite numbers in it.
        """
        pieces = [self._stream.decode(latents[None].float())[0]] if len(latents) else []
        if last:
            pieces.append(self._stream.finish()[0])
        decoded = torch.cat(pieces)
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
            self._stream.state,
            self._samples_to_skip,
            deepcopy(self._meter),
            deepcopy(self._trimmer),
            self._segment,
            self._segment_start,
        )

    def restore(self, state: AudioState) -> None:
        """Go on from where another stream stood."""
        self._stream.state, self._samples_to_skip = state.stream, state.samples_to_skip
        self._meter, self._trimmer = deepcopy(state.meter), deepcopy(state.trimmer)
        self._segment, self._segment_start = state.segment, state.segment_start
