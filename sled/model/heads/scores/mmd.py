"""Squared maximum mean discrepancy with a kernel (Gretton et al. 2012, eq. 3).

With a kernel k, samples s_1..s_M and target t:

    2/M sum_i (1 - k(s_i, t))  -  1/(M (M-1)) sum_{i != j} (1 - k(s_i, s_j))

which is an unbiased estimate up to a constant, from M >= 2 samples.

Shapes: M samples, F frames, D latent width.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sled.model.heads.scores.base import Score, pairs

BANDWIDTHS = (0.5, 1.0, 2.0)


def gaussian_mmd(
    samples: Tensor, target: Tensor, bandwidths: tuple[float, ...] = BANDWIDTHS
) -> Score:
    """The score with k(x, y) the mean over bandwidths w of exp(-|x - y|^2 / (2 w^2 D)).

    Args:
        samples: [M, F, D] independent draws, M >= 2.
        target: [F, D] true latents.
        bandwidths: Kernel widths in units of sqrt(D).

    Returns:
        The score of each frame, in float32.
    """

    def exponent(difference: Tensor, width: float) -> Tensor:
        return difference.square().mean(-1) / (2 * width**2)

    return _mmd(samples, target, bandwidths, exponent)


def laplacian_mmd(
    samples: Tensor, target: Tensor, bandwidths: tuple[float, ...] = BANDWIDTHS
) -> Score:
    """The score with k(x, y) the mean over bandwidths w of exp(-|x - y| / (w sqrt(D))).

    Its tails are heavier than those of the Gaussian kernel: samples far away are still attracted.

    Args:
        samples: [M, F, D] independent draws, M >= 2.
        target: [F, D] true latents.
        bandwidths: Kernel widths in units of sqrt(D).

    Returns:
        The score of each frame, in float32.
    """

    def exponent(difference: Tensor, width: float) -> Tensor:
        scale = width * math.sqrt(difference.shape[-1])
        distance: Tensor = torch.linalg.vector_norm(difference, dim=-1) / scale
        return distance

    return _mmd(samples, target, bandwidths, exponent)


def _mmd(
    samples: Tensor,
    target: Tensor,
    bandwidths: tuple[float, ...],
    exponent: Callable[[Tensor, float], Tensor],
) -> Score:
    samples, target = samples.float(), target.float()

    def distance(difference: Tensor) -> Tensor:
        kernels = [torch.exp(-exponent(difference, width)) for width in bandwidths]
        return 1 - torch.stack(kernels).mean(0)

    first, second = pairs(len(samples), samples.device)
    return Score(
        attraction=2 * distance(samples - target).mean(0),
        repulsion=distance(samples[first] - samples[second]).mean(0),
    )
