"""Drifting (arXiv 2602.04770): draws move along a field that vanishes where distributions match.

The field at a draw s_i attracts it to the target t and repels it from the other draws, weighted by
a kernel k(x, y) = exp(-|x - y| / (w sqrt(D))):

    V(s_i) = sum_{j != i} k(s_i, t) k(s_i, s_j) (t - s_j) / Z_i^2
    Z_i = k(s_i, t) + sum_{j != i} k(s_i, s_j)

A swap of t and s_j changes its sign, so that it is zero on average if t and the draws have the same
distribution. The loss of a draw is |s_i - stopgrad(s_i + V(s_i))|^2, whose gradient is along V.

Shapes: M samples, F frames, D latent width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sled.model.heads.scores.base import Score, pairs, without_repulsion
from sled.model.heads.scores.mmd import BANDWIDTHS


def drifting_score(
    samples: Tensor, target: Tensor, bandwidths: tuple[float, ...] = BANDWIDTHS
) -> Score:
    """The loss of the draws. Its value tells how strong the field is, not how good the draws are.

    Args:
        samples: [M, F, D] independent draws, M >= 2.
        target: [F, D] true latents.
        bandwidths: Kernel widths in units of sqrt(D); their fields are averaged.

    Returns:
        The score of each frame, in float32.
    """
    samples, target = samples.float(), target.float()
    pairs(len(samples), samples.device)  # there must be one
    with torch.no_grad():
        drifted = samples + torch.stack(
            [drift(samples, target, width) for width in bandwidths]
        ).mean(0)
    return without_repulsion((samples - drifted).square().sum(-1).mean(0))


def drift(samples: Tensor, target: Tensor, bandwidth: float) -> Tensor:
    """Return the field [M, F, D] at samples [M, F, D], for the target [F, D] of each frame."""
    count, _, width = samples.shape
    scale = bandwidth * width**0.5
    to_target = -torch.linalg.vector_norm(samples - target, dim=-1) / scale  # [M, F]
    apart = torch.linalg.vector_norm(samples[:, None] - samples[None], dim=-1)  # [M, M, F]
    own = torch.eye(count, dtype=torch.bool, device=samples.device)[..., None]
    to_others = (-apart / scale).masked_fill(own, -torch.inf)
    weights = torch.cat([to_target[:, None], to_others], 1).softmax(1)  # [M, 1 + M, F]
    attracted, repelled = weights[:, 0], weights[:, 1:]
    pulled = attracted * repelled.sum(1)
    pushed = attracted[:, None] * repelled
    field: Tensor = pulled[..., None] * target - torch.einsum("ijf,jfd->ifd", pushed, samples)
    return field
