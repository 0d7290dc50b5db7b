"""Drifting (arXiv 2602.04770): draws move along a field that vanishes where distributions match.

The field at a draw s_i attracts it to the target t and repels it from the other draws, weighted by
a kernel k(x, y) = exp(-|x - y| / (w r)), whose width is relative to the spread r that is there:

    V(s_i) = sum_{j != i} k(s_i, t) k(s_i, s_j) (t - s_j) / Z_i^2
    Z_i = k(s_i, t) + sum_{j != i} k(s_i, s_j)
    r = the mean distance of any two of t, s_1, ..., s_M, over the batch

A swap of t and s_j changes the sign of V, so that it is zero on average if t and the draws have the
same distribution. The loss of a draw is |s_i - stopgrad(s_i + V(s_i))|^2 / r^2, whose gradient is
along V; r is not differentiated. So the loss is the same for latents of any scale. The paper
divides features by their mean distance to the same effect.

Shapes: M samples, F frames, D latent width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sled.model.heads.scores.base import Score, pairs, without_repulsion
from sled.model.heads.scores.mmd import BANDWIDTHS

# Of a batch in which all draws are their targets.
MIN_SPREAD = 1e-6


def drifting_score(
    samples: Tensor, target: Tensor, bandwidths: tuple[float, ...] = BANDWIDTHS
) -> Score:
    """The loss of the draws. Its value tells how strong the field is, not how good the draws are.

    Args:
        samples: [M, F, D] independent draws, M >= 2.
        target: [F, D] true latents.
        bandwidths: Kernel widths in units of the spread; their fields are averaged.

    Returns:
        The score of each frame, in float32.
    """
    samples, target = samples.float(), target.float()
    pairs(len(samples), samples.device)  # there must be one
    with torch.no_grad():
        distances = _distances(samples, target)
        spread = _spread(distances)
        fields = [_drift(samples, target, distances / (w * spread)) for w in bandwidths]
        drifted = samples + torch.stack(fields).mean(0)
    moved = (samples - drifted) / spread
    return without_repulsion(moved.square().sum(-1).mean(0))


def drift(samples: Tensor, target: Tensor, width: float) -> Tensor:
    """Return the field [M, F, D] at samples [M, F, D], for the target [F, D] of each frame.

    Args:
        samples: The draws.
        target: The targets.
        width: Width of the kernel, w r.
    """
    return _drift(samples, target, _distances(samples, target) / width)


def _distances(samples: Tensor, target: Tensor) -> Tensor:
    """[M, 1 + M, F] from each draw to the target and to all draws; infinity to itself."""
    own = torch.eye(len(samples), dtype=torch.bool, device=samples.device)[..., None]
    apart = torch.linalg.vector_norm(samples[:, None] - samples[None], dim=-1)
    to_target = torch.linalg.vector_norm(samples - target, dim=-1)
    return torch.cat([to_target[:, None], apart.masked_fill(own, torch.inf)], 1)


def _spread(distances: Tensor) -> Tensor:
    """The mean distance r [] of two points, from the distances [M, 1 + M, F]."""
    count = len(distances)
    of_draws = distances[:, 1:].masked_fill(distances[:, 1:].isinf(), 0).sum() / 2  # pairs, once
    num_pairs = math.comb(count + 1, 2) * distances.shape[2]
    return ((distances[:, 0].sum() + of_draws) / num_pairs).clamp_min(MIN_SPREAD)


def _drift(samples: Tensor, target: Tensor, distances: Tensor) -> Tensor:
    """The field for distances in units of the kernel's width."""
    weights = (-distances).softmax(1)
    attracted, repelled = weights[:, 0], weights[:, 1:]
    pulled = attracted * repelled.sum(1)
    pushed = attracted[:, None] * repelled
    field: Tensor = pulled[..., None] * target - torch.einsum("ijf,jfd->ifd", pushed, samples)
    return field
