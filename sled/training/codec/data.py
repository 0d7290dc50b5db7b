"""Random training segments from a CutSet of speech.

Shapes: B segments, S samples; T frames of D, a hop of samples for each.
"""

import logging
import math
from dataclasses import dataclass

import numpy as np
import torch
from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.utils import compute_num_samples
from torch import Tensor

from sled.data.draws import Draws
from sled.data.latents import cut_waveform

logger = logging.getLogger(__name__)

SILENCE_DB = -50.0
"""Segments below this level (dB of full scale) teach a codec nothing; they are drawn again."""


def level_db(waveform: Tensor) -> Tensor:
    """RMS level in dB of full scale, over the last axis."""
    return 10 * torch.log10(waveform.square().mean(-1) + 1e-12)


@dataclass(frozen=True)
class Segments:
    """A batch to train on.

    Attributes:
        waveforms: float32 [B, 1, S] within [-1, 1].
        drawn: float32 [B, D, T], what a model drew for their frames. None: nothing is known.
    """

    waveforms: Tensor
    drawn: Tensor | None = None

    def to(self, device: str | torch.device) -> "Segments":
        """The same on a device."""
        drawn = None if self.drawn is None else self.drawn.to(device)
        return Segments(self.waveforms.to(device), drawn)


class SegmentSampler:
    """Draws batches of equally long segments at random places, longer clips more often.

    Args:
        cuts: the corpus.
        sample_rate: Hz of the segments.
        segment_samples: samples per segment; shorter clips are followed by silence.
        loudness_db: RMS level (dB of full scale) that each clip is brought to.
        loudness_jitter_db: uniform random gain around it, per segment.
        max_cached_hours: keep all audio in memory as 16-bit integers up to this much.
        draws: what a model drew for the clips. Clips without draws, or shorter than a segment, are
            then left out, and all keep the level they have, for the draws are of that.
        hop_length: samples for each frame that was drawn.

    Raises:
        ValueError: if there are draws and none fits, or a clip is not what they were made for.
    """

    def __init__(
        self,
        cuts: CutSet,
        *,
        sample_rate: int,
        segment_samples: int,
        loudness_db: float,
        loudness_jitter_db: float,
        max_cached_hours: float,
        draws: Draws | None = None,
        hop_length: int = 1,
    ) -> None:
        self.cuts: list[Cut] = list(cuts)
        self.sample_rate, self.draws, self.hop_length = sample_rate, draws, hop_length
        if draws is not None:
            self.cuts = self._cuts_with(draws, segment_samples)
        self.segment_samples = segment_samples
        self.loudness_db = loudness_db
        self.loudness_jitter_db = loudness_jitter_db
        self.weights = torch.tensor([cut.duration for cut in self.cuts], dtype=torch.float64)
        self.hours = float(self.weights.sum()) / 3600
        self._cache: list[np.ndarray] | None = None
        if self.hours <= max_cached_hours:
            logger.info("loading %d clips (%.2f h) into memory", len(self.cuts), self.hours)
            self._cache = [self._load(index) for index in range(len(self.cuts))]

    def _load(self, index: int) -> np.ndarray:
        audio = cut_waveform(self.cuts[index], self.sample_rate).numpy()
        return np.round(audio.clip(-1, 1) * 32767).astype(np.int16)

    def _cuts_with(self, draws: Draws, segment_samples: int) -> list[Cut]:
        """The cuts to draw segments from, each as long as what was drawn for it."""
        known, chosen = set(draws), []
        for cut in self.cuts:
            num_samples = compute_num_samples(cut.duration, self.sample_rate)
            if cut.id not in known or num_samples < segment_samples:
                continue
            frames, drawn = -(-num_samples // self.hop_length), len(draws[cut.id])
            if not 0 <= drawn - frames < draws.record.frames_per_latent:
                raise ValueError(
                    f"cut {cut.id} has {frames} frames, and {drawn} were drawn for it: train on "
                    "the manifest that the codes were made of"
                )
            chosen.append(cut)
        if not chosen:
            raise ValueError(
                "the draws are of no clip of the manifest that is as long as a segment: train on "
                "the manifest that the codes were made of"
            )
        return chosen

    def _segment(self, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """One segment [S], and the frames [T, D] that were drawn for it."""
        index = int(torch.multinomial(self.weights, 1, generator=generator))
        clip = self._load(index) if self._cache is None else self._cache[index]
        spare = max(len(clip) - self.segment_samples, 0)
        # Frames are drawn for hops, so where there are draws a segment starts with one.
        grid = 1 if self.draws is None else self.hop_length
        start = grid * int(torch.randint(spare // grid + 1, (), generator=generator))
        whole = torch.from_numpy(clip.astype(np.float32) / 32767)
        segment = whole[start : start + self.segment_samples]
        if self.draws is not None:
            first, count = start // grid, self.segment_samples // grid
            return segment, self.draws[self.cuts[index].id][first : first + count].float()
        gain_db = self.loudness_db - float(level_db(whole))
        segment = segment * 10 ** (gain_db / 20)
        return torch.nn.functional.pad(segment, (0, self.segment_samples - len(segment))), None

    def batch(self, size: int, generator: torch.Generator) -> Segments:
        """Draw `size` segments.

        Raises:
            ValueError: if the corpus seems to hold nothing but silence.
        """
        segments: list[tuple[Tensor, Tensor | None]] = []
        for _ in range(100 * size):
            segment = self._segment(generator)
            if float(level_db(segment[0])) > SILENCE_DB:
                segments.append(segment)
            if len(segments) == size:
                break
        else:
            raise ValueError("the training clips are silent; check the manifest's recordings")
        waveforms = torch.stack([waveform for waveform, _ in segments]).unsqueeze(1)
        if self.draws is not None:
            drawn = [frames.T for _, frames in segments if frames is not None]
            return Segments(waveforms, torch.stack(drawn))
        jitter = (2 * torch.rand(size, 1, 1, generator=generator) - 1) * self.loudness_jitter_db
        waveforms = waveforms * torch.exp(jitter * (math.log(10) / 20))
        # A gain that would clip is lowered: overload would be learnt as a sound.
        peak = waveforms.abs().amax(-1, keepdim=True)
        return Segments(waveforms / peak.clamp(min=1.0))
