"""What a score returns, and what scores of several draws have in common.

Shapes: M samples, F frames, D latent width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Score:
    """The two halves of a score, each [F].

    Attributes:
        attraction: Pulls the samples to the target.
        repulsion: Keeps the samples apart. Without it, samples collapse to their mean.
    """

    attraction: Tensor
    repulsion: Tensor

    @property
    def value(self) -> Tensor:
        """The score [F] of each frame."""
        return self.attraction - self.repulsion


def without_repulsion(loss: Tensor) -> Score:
    """The score of a loss [F] that has no second half."""
    return Score(loss, torch.zeros_like(loss))


def pairs(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the indices of all unordered pairs of `count` samples.

    Raises:
        ValueError: If there is no pair.
    """
    if count < 2:
        raise ValueError(f"{count} sample per frame: the repulsion term needs at least 2")
    first, second = torch.triu_indices(count, count, offset=1, device=device)
    assert len(first) == math.comb(count, 2)
    return first, second
