"""Random training segments from a CutSet of speech."""

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from lhotse.cut import Cut
from torch import Tensor

from sled.data.cache.codes import cut_waveform
from sled.training.codec.letters import LetterTimes
from sled.training.codec.voice import VoicePhase, VoiceTrack, joined, track_voice

logger = logging.getLogger(__name__)

SILENCE_DB = -50.0
"""Segments below this level (dB of full scale) are silent; others are drawn instead."""


def level_db(waveform: Tensor) -> Tensor:
    """RMS level in dB of full scale, over the last axis."""
    return 10 * torch.log10(waveform.square().mean(-1) + 1e-12)


@dataclass(frozen=True)
class Segments:
    """A batch to train on.

    Attributes:
        waveforms: float32 [B, 1, S] within [-1, 1].
        predictions: float32 [B, D, T], latents that a model predicts for them. None: unknown.
        letters: B times int64 [L], numbers of the letters said in them. None: unknown.
        voice: Its phase and pitch [B, S]. None: unknown.
    """

    waveforms: Tensor
    predictions: Tensor | None = None
    letters: tuple[Tensor, ...] | None = None
    voice: VoicePhase | None = None

    def to(self, device: str | torch.device) -> "Segments":
        """The same on a device."""
        predictions = None if self.predictions is None else self.predictions.to(device)
        voice = None if self.voice is None else self.voice.to(device)
        return Segments(self.waveforms.to(device), predictions, self.letters, voice)


@dataclass(frozen=True)
class _Segment:
    """A waveform [S] at the nominal loudness, with the gain that was applied."""

    waveform: Tensor
    gain: float
    index: int
    start: int


class SegmentSampler:
    """Draws batches of equally long segments at random places, longer clips more often.

    Args:
        cuts: the corpus.
        sample_rate: Hz of the segments.
        segment_samples: samples per segment; shorter clips are followed by silence.
        loudness_db: RMS level (dB of full scale) that each clip is brought to.
        loudness_jitter_db: uniform random gain around it, per segment.
        max_cached_hours: keep all audio in memory as 16-bit integers up to this much.
        with_letters: whether batches say which letters are spoken.
        with_voice: whether batches tell phase and pitch of the voice.

    Raises:
        ValueError: if letters are wanted of a corpus that is not aligned.

    Attributes:
        letter_times: of the corpus; None if they are not wanted.
        grid: segments start at multiples of this number of samples.
    """

    grid: int = 1

    def __init__(
        self,
        cuts: Iterable[Cut],
        *,
        sample_rate: int,
        segment_samples: int,
        loudness_db: float,
        loudness_jitter_db: float,
        max_cached_hours: float,
        with_letters: bool = False,
        with_voice: bool = False,
    ) -> None:
        self.cuts: list[Cut] = list(cuts)
        self.sample_rate = sample_rate
        self.segment_samples = segment_samples
        self.loudness_db = loudness_db
        self.loudness_jitter_db = loudness_jitter_db
        durations = torch.tensor([cut.duration for cut in self.cuts], dtype=torch.float64)
        # Where each clip ends, all one after the other: a draw takes the logarithm of their number.
        self._ends_s = durations.cumsum(0)
        self.letter_times = LetterTimes(self.cuts) if with_letters else None
        self._tracks: dict[int, VoiceTrack] | None = {} if with_voice else None
        self.hours = float(durations.sum()) / 3600
        self._cache: list[np.ndarray] | None = None
        if self.hours <= max_cached_hours:
            logger.info("loading %d clips (%.2f h) into memory", len(self.cuts), self.hours)
            self._cache = [self._load(index) for index in range(len(self.cuts))]

    def _load(self, index: int) -> np.ndarray:
        audio = cut_waveform(self.cuts[index], self.sample_rate).numpy()
        return np.round(audio.clip(-1, 1) * 32767).astype(np.int16)

    def _clip(self, index: int) -> np.ndarray:
        return self._load(index) if self._cache is None else self._cache[index]

    def _draw(self, generator: torch.Generator) -> int:
        """Number of a clip; long ones are drawn more often."""
        place_s = torch.rand((), dtype=torch.float64, generator=generator) * self._ends_s[-1]
        index = int(torch.searchsorted(self._ends_s, place_s, right=True))
        return min(index, len(self._ends_s) - 1)  # the product may be rounded up to the last end

    def _segment(self, generator: torch.Generator) -> _Segment:
        """One segment at the nominal loudness."""
        index = self._draw(generator)
        clip = self._clip(index)
        spare = max(len(clip) - self.segment_samples, 0) // self.grid
        start = self.grid * int(torch.randint(spare + 1, (), generator=generator))
        whole = torch.from_numpy(clip.astype(np.float32) / 32767)
        gain = 10 ** ((self.loudness_db - float(level_db(whole))) / 20)
        segment = whole[start : start + self.segment_samples] * gain
        segment = torch.nn.functional.pad(segment, (0, self.segment_samples - len(segment)))
        return _Segment(segment, gain, index, start)

    def _audible(self, size: int, generator: torch.Generator) -> list[_Segment]:
        """Segments that are not silent.

        Raises:
            ValueError: if the corpus seems to be silent.
        """
        segments: list[_Segment] = []
        for _ in range(100 * size):
            segment = self._segment(generator)
            if float(level_db(segment.waveform)) > SILENCE_DB:
                segments.append(segment)
            if len(segments) == size:
                return segments
        raise ValueError("the training clips are silent; check the manifest's recordings")

    def batch(self, size: int, generator: torch.Generator) -> Segments:
        """Draw `size` segments.

        Raises:
            ValueError: if the corpus seems to be silent.
        """
        segments = self._audible(size, generator)
        waveforms = torch.stack([one.waveform for one in segments])
        jitter = (2 * torch.rand(size, 1, generator=generator) - 1) * self.loudness_jitter_db
        waveforms = waveforms * torch.exp(jitter * (math.log(10) / 20))
        # A gain that would clip is lowered: the codec would learn clipping as a sound.
        peak = waveforms.abs().amax(-1, keepdim=True)
        waveforms = (waveforms / peak.clamp(min=1.0)).unsqueeze(1)
        letters = None if self.letter_times is None else tuple(map(self._letters, segments))
        return Segments(waveforms, letters=letters, voice=self._voice(segments))

    def _letters(self, segment: _Segment) -> Tensor:
        assert self.letter_times is not None
        bounds = segment.start, segment.start + self.segment_samples
        start_s, end_s = (bound / self.sample_rate for bound in bounds)
        return self.letter_times.between(segment.index, start_s, end_s)

    def _voice(self, segments: list[_Segment]) -> VoicePhase | None:
        """The voice in segments, if it is asked for; each clip is analysed once."""
        tracks = self._tracks
        if tracks is None:
            return None
        parts: list[VoicePhase] = []
        for segment in segments:
            if segment.index not in tracks:
                waveform = self._clip(segment.index).astype(np.float32) / 32767
                tracks[segment.index] = track_voice(waveform, self.sample_rate)
            track = tracks[segment.index]
            parts.append(track.between(segment.start, self.segment_samples, self.sample_rate))
        return joined(parts, 0)
