"""Losses of a vocoder and its discriminators.

In contrast to those of codec training, they are sums over discriminators, and features are not
scaled, as the published recipes have it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sled.training.codec.losses import Judgements

# The margin of the relativistic loss.
MARGIN = 0.04


def discriminator_loss(real: Judgements, fake: Judgements) -> Tensor:
    """Least squares (Mao et al. 2017): verdicts of 1 for recorded speech, 0 for made speech."""
    wanted = [_distance(layers, 1.0) for layers in real]
    return torch.stack(wanted + [_distance(layers, 0.0) for layers in fake]).sum()


def adversarial_loss(fake: Judgements) -> Tensor:
    """Distance of the verdicts on made speech from those wanted for recorded speech."""
    return torch.stack([_distance(layers, 1.0) for layers in fake]).sum()


def feature_loss(real: Judgements, fake: Judgements) -> Tensor:
    """Twice the mean absolute difference of all layers' outputs (Kumar et al. 2019)."""
    pairs = zip(real, fake, strict=True)
    losses = [
        F.l1_loss(got, wanted.detach())
        for real_layers, fake_layers in pairs
        for wanted, got in zip(real_layers, fake_layers, strict=True)
    ]
    return 2 * torch.stack(losses).sum()


def relativistic_loss(better: Judgements, worse: Judgements, margin: float = MARGIN) -> Tensor:
    """Truncated pointwise relativistic loss (Li et al. 2022, section 3.2).

    Of the differences between verdicts, those below the median count with their squared distance
    from it, up to a margin.

    Args:
        better: What is to be judged better: made speech for the vocoder, recorded speech for the
            discriminator.
        worse: What it is compared with.
        margin: See above.
    """
    losses = []
    for better_layers, worse_layers in zip(better, worse, strict=True):
        difference = better_layers[-1] - worse_layers[-1]
        below = difference - difference.median()
        squared = below.square()[below < 0]
        losses.append(squared.mean().clamp(max=margin) if len(squared) else difference.sum() * 0)
    return torch.stack(losses).sum()


def _distance(layers: list[Tensor], wanted: float) -> Tensor:
    return (layers[-1] - wanted).square().mean()
