"""Sample-based proper scoring rules for distributions that can only be sampled.

Both are unbiased estimates, from M >= 2 samples, of the squared maximum mean discrepancy between
the distribution of the model and the data, up to a constant. Their expectation is minimal only for
the true distribution.

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


def energy_score(samples: Tensor, target: Tensor, beta: float = 1.0) -> Score:
    """Energy score (Gneiting and Raftery 2007, eq. 21; SLED, arXiv 2505.13181, eq. 6), doubled.

    With samples s_1..s_M and target t:

        2/M sum_i |s_i - t|^beta  -  1/(M (M-1)) sum_{i != j} |s_i - s_j|^beta

    which for M = 2 and beta = 1 is the published |a - t| + |b - t| - |a - b|.

    Args:
        samples: [M, F, D] independent draws, M >= 2.
        target: [F, D] true latents.
        beta: Exponent of the Euclidean norm, in (0, 2); at 2 only the mean would be matched.

    Returns:
        The score of each frame, in float32.
    """
    samples, target = samples.float(), target.float()
    attraction = 2 * _norm(samples - target, beta).mean(0)
    first, second = _pairs(len(samples), samples.device)
    repulsion = _norm(samples[first] - samples[second], beta).mean(0)
    return Score(attraction, repulsion)


def gaussian_mmd(
    samples: Tensor, target: Tensor, bandwidths: tuple[float, ...] = (0.5, 1.0, 2.0)
) -> Score:
    """Squared maximum mean discrepancy with a Gaussian kernel (Gretton et al. 2012, eq. 3).

    With k(x, y) the mean over bandwidths w of exp(-|x - y|^2 / (2 w^2 D)):

        2/M sum_i (1 - k(s_i, t))  -  1/(M (M-1)) sum_{i != j} (1 - k(s_i, s_j))

    Args:
        samples: [M, F, D] independent draws, M >= 2.
        target: [F, D] true latents.
        bandwidths: Kernel widths in units of sqrt(D).

    Returns:
        The score of each frame, in float32.
    """
    samples, target = samples.float(), target.float()

    def distance(difference: Tensor) -> Tensor:
        mean_square = difference.square().mean(-1)
        kernels = [torch.exp(-mean_square / (2 * width**2)) for width in bandwidths]
        return 1 - torch.stack(kernels).mean(0)

    first, second = _pairs(len(samples), samples.device)
    return Score(
        attraction=2 * distance(samples - target).mean(0),
        repulsion=distance(samples[first] - samples[second]).mean(0),
    )


def _pairs(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Indices of all unordered pairs of `count` samples."""
    if count < 2:
        raise ValueError(f"{count} sample per frame: the repulsion term needs at least 2")
    first, second = torch.triu_indices(count, count, offset=1, device=device)
    assert len(first) == math.comb(count, 2)
    return first, second


def _norm(difference: Tensor, beta: float) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(difference, dim=-1)
    return norm if beta == 1 else norm.clamp_min(1e-12).pow(beta)
