"""Losses of ids.

Shapes: B samples, P positions, S scored ids.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NO_TARGET = -1


def accuracy(log_p: Tensor, targets: Tensor) -> Tensor:
    """Return the share of targets [P] that have the highest of the log-probabilities [P, S]."""
    real = targets != NO_TARGET
    return (log_p.argmax(-1) == targets)[real].float().mean()


def label_smoothed_loss(
    log_p: Tensor, targets: Tensor, smoothing: float = 0.0, per_target: bool = True
) -> Tensor:
    """Cross-entropy against targets that share some probability with all other ids.

    The target has probability 1 - `smoothing`, every other id an equal part of the rest; their
    entropy is subtracted, so that the least loss is 0 (Szegedy et al. 2016, section 7).

    Args:
        log_p: [B, P, S] log-probabilities.
        targets: int64 [B, P]; `NO_TARGET` counts nothing.
        smoothing: From 0, none, to below 1.
        per_target: Divide by the number of targets, else by B.

    Returns:
        A scalar.
    """
    real = targets != NO_TARGET
    count = real.sum() if per_target else len(log_p)
    if not smoothing:
        flat = log_p.flatten(0, 1), targets.flatten()
        return F.nll_loss(*flat, ignore_index=NO_TARGET, reduction="sum") / count
    others = smoothing / (log_p.shape[-1] - 1)
    wanted = torch.full_like(log_p, others)
    wanted.scatter_(-1, targets.clamp(0)[..., None], 1 - smoothing)
    divergence = F.kl_div(log_p, wanted, reduction="none").sum(-1)
    loss: Tensor = (divergence * real).sum() / count
    return loss
