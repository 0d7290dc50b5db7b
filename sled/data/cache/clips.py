"""Audio of cuts, read ahead by worker processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from lhotse.cut import Cut
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sled.data.manifests import check_cut_id
from sled.files.audio import check_audible, check_full_scale
from sled.files.channels import mix_channels

# Clips that each worker process reads ahead of their use.
_CLIPS_AHEAD = 8


def cut_waveform(cut: Cut, sample_rate: int) -> Tensor:
    """Load a cut as a mono waveform [S] at the given sample rate.

    Raises:
        ValueError: If the audio cannot be read, is empty, silent, not finite or far above full
            scale; the error names the cut.
    """
    try:
        samples = cut.resample(sample_rate).load_audio()
    except Exception as error:  # lhotse wraps backend errors in many types
        raise ValueError(f"cut {cut.id}: cannot read its audio ({error})") from error
    mixed = mix_channels(samples)
    check_audible(mixed, f"cut {cut.id}: its audio")
    check_full_scale(mixed, f"cut {cut.id}: its audio")
    return torch.from_numpy(mixed)


@dataclass(frozen=True)
class Clip:
    """A cut and its audio, or the reason why there is none.

    Attributes:
        shard: Number of the shard that the cut belongs to.
        cut: The cut.
        audio: Waveform [S], float32. None: it could not be read.
        reason: Why there is no audio.
    """

    shard: int
    cut: Cut
    audio: np.ndarray | None = None
    reason: str = ""


class _ClipReader(Dataset[Clip]):
    """Reads the audio of cuts; the index of an item is a shard number and a cut."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate

    def __getitem__(self, index: tuple[int, Cut]) -> Clip:
        shard, cut = index
        try:
            check_cut_id(cut.id)
            # An array: each tensor would need a file descriptor and shared memory.
            audio = cut_waveform(cut, self.sample_rate).numpy()
        except ValueError as error:
            return Clip(shard, cut, reason=" ".join(str(error).split()))
        return Clip(shard, cut, audio)


def read_clips(
    cuts: Iterator[tuple[int, Cut]], sample_rate: int, num_workers: int
) -> Iterable[Clip]:
    """Read clips in the order of the cuts, ahead of their use.

    Args:
        cuts: Pairs of a shard number and a cut.
        sample_rate: Sample rate of the audio in Hz.
        num_workers: Worker processes. 0: read in this process.
    """
    return DataLoader(
        _ClipReader(sample_rate),
        sampler=cuts,
        batch_size=None,
        num_workers=num_workers,
        prefetch_factor=_CLIPS_AHEAD if num_workers else None,
    )
