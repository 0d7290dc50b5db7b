"""The audio of cuts, read by worker processes ahead of who needs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from lhotse.cut import Cut
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

# Clips that each worker process reads ahead.
_CLIPS_AHEAD = 8


def cut_waveform(cut: Cut, sample_rate: int) -> Tensor:
    """Mono waveform [S] of a cut at the given rate, from its recording.

    Raises:
        ValueError: Naming the cut, if its audio cannot be read, is empty or not finite.
    """
    try:
        samples = cut.resample(sample_rate).load_audio()
    except Exception as error:  # lhotse wraps backend errors in many types
        raise ValueError(f"cut {cut.id}: cannot read its audio ({error})") from error
    if not samples.size or not np.isfinite(samples).all():
        raise ValueError(f"cut {cut.id}: its audio is empty, or not all of it is finite")
    return torch.from_numpy(samples.mean(axis=0))


@dataclass(frozen=True)
class Clip:
    """A cut of some shard with its audio, float32 [S], or else the reason why it has none."""

    shard: int
    cut: Cut
    audio: np.ndarray | None = None
    reason: str = ""


class _ClipReader(Dataset[Clip]):
    """Reads the audio of cuts; the cuts themselves, with their shard, serve as indices."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate

    def __getitem__(self, index: tuple[int, Cut]) -> Clip:
        shard, cut = index
        try:
            # An array: tensors would take a file descriptor and shared memory each on their way.
            audio = cut_waveform(cut, self.sample_rate).numpy()
        except ValueError as error:
            return Clip(shard, cut, reason=" ".join(str(error).split()))
        return Clip(shard, cut, audio)


def read_clips(
    cuts: Iterator[tuple[int, Cut]], sample_rate: int, num_workers: int
) -> Iterable[Clip]:
    """Clips in the order of the cuts, read ahead by worker processes."""
    return DataLoader(
        _ClipReader(sample_rate),
        sampler=cuts,
        batch_size=None,
        num_workers=num_workers,
        prefetch_factor=_CLIPS_AHEAD if num_workers else None,
    )
