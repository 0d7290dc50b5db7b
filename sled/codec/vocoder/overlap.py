"""Overlapping windows added up to a signal, also as a stream.

Shapes: B batch, n windows, S samples.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sled.codec.memory import Memory


def overlap_add(waves: Tensor, window: Tensor, hop: int, cut: int, memory: Memory) -> Tensor:
    """Add windows up, divided by the sum of the squared windows.

    Args:
        waves: [B, n, size], multiplied by the window; size is a multiple of the hop.
        window: [size].
        hop: Samples between two windows.
        cut: Samples that are left out at both ends of the signal.
        memory: Carries what overlaps with the next piece.

    Returns:
        The samples [B, S] that are complete.
    """
    columns, size = waves.shape[1:]
    weights = window.square().expand_as(waves)
    # The sums of overlapping windows, and of their weights, by which they are divided.
    summed = torch.stack((_add_up(waves, hop), _add_up(weights, hop)), 1)
    before = memory.exchange(summed)
    if before is not None:
        summed = summed + F.pad(before, (0, summed.shape[-1] - (size - hop)))
    ready, rest = summed[..., : columns * hop], summed[..., columns * hop :]
    if memory.ends:
        ready = torch.cat((ready, rest[..., : size - hop - cut]), -1)
    else:
        memory.after[-1] = rest.clone()
    if memory.begins:
        ready = ready[..., cut:]
    samples, weight = ready.unbind(1)
    return samples / weight


def _add_up(windows: Tensor, hop: int) -> Tensor:
    """Sums [B, S] of windows [B, n, size] that begin `hop` samples apart."""
    batch, columns, size = windows.shape
    pieces = windows.reshape(batch, columns, size // hop, hop).unbind(2)
    last = len(pieces) - 1
    padded = [F.pad(piece, (0, 0, part, last - part)) for part, piece in enumerate(pieces)]
    return torch.stack(padded).sum(0).flatten(1)
