"""Gathers units until there are enough for the codec."""

from __future__ import annotations

from copy import copy

import torch
from torch import Tensor

from sled.streaming.chunks import ChunkRamp


class UnitBuffer:
    """A buffer of units that is emptied in chunks of growing size.

    Args:
        ramp: Sizes of chunks.
        lookahead_frames: Frames after the first that the codec waits for.
        delayed_frames: Frames of the first chunk whose sound comes with later chunks.
    """

    def __init__(self, ramp: ChunkRamp, lookahead_frames: int = 0, delayed_frames: int = 0) -> None:
        self._ramp, self._size = ramp, ramp.first(lookahead_frames)
        self._delayed = delayed_frames
        self._units: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._units)

    def add(self, unit: Tensor) -> None:
        """Append a unit."""
        self._units.append(unit)

    @property
    def is_full(self) -> bool:
        """Whether there are enough units for a chunk."""
        return len(self._units) >= self._size

    @property
    def num_missing(self) -> int:
        """How many units a chunk lacks."""
        return self._size - len(self._units)

    def take(self, real_time_factor: float) -> Tensor | None:
        """Empty the buffer.

        Args:
            real_time_factor: Time to make a frame over the time that it plays, for the size of the
                next chunk.

        Returns:
            [T, ...] the units; None if there are none.
        """
        if not self._units:
            return None
        units = torch.stack(self._units)
        # The next chunk is made while the sound of this one plays.
        self._size = self._ramp.after(max(1, len(units) - self._delayed), real_time_factor)
        self._delayed = 0
        self._units = []
        return units

    def copy(self) -> UnitBuffer:
        """An independent copy."""
        other = copy(self)
        other._units = list(self._units)
        return other
