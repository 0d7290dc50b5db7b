"""The energy score, a proper scoring rule: only the true distribution has the lowest mean.

Shapes: M samples, F frames, D latent width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sled.model.heads.scores.base import Score, pairs, without_repulsion


def energy_score(samples: Tensor, target: Tensor, beta: float = 1.0) -> Score:
    """Energy score (Gneiting and Raftery 2007, eq. 21; SLED, arXiv 2505.13181, eq. 6), doubled.

    With samples s_1..s_M and target t:

        2/M sum_i |s_i - t|^beta  -  1/(M (M-1)) sum_{i != j} |s_i - s_j|^beta

    which for M = 2 and beta = 1 is the published |a - t| + |b - t| - |a - b|. For any M >= 2, it is
    an unbiased estimate of the energy distance, up to a constant.

    Args:
        samples: [M, F, D] independent draws, M >= 2.
        target: [F, D] true latents.
        beta: Exponent of the Euclidean norm, in (0, 2); at 2 only the mean would be matched.

    Returns:
        The score of each frame, in float32.
    """
    samples, target = samples.float(), target.float()
    attraction = 2 * _norm(samples - target, beta).mean(0)
    first, second = pairs(len(samples), samples.device)
    repulsion = _norm(samples[first] - samples[second], beta).mean(0)
    return Score(attraction, repulsion)


def attraction_only(samples: Tensor, target: Tensor, beta: float = 1.0) -> Score:
    """The energy score without its second half, as a control: all draws become the same.

    Args:
        samples: [M, F, D] draws.
        target: [F, D] true latents.
        beta: Exponent of the Euclidean norm.
    """
    samples, target = samples.float(), target.float()
    return without_repulsion(2 * _norm(samples - target, beta).mean(0))


def _norm(difference: Tensor, beta: float) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(difference, dim=-1)
    return norm if beta == 1 else norm.clamp_min(1e-12).pow(beta)
