"""The optimiser of models that are trained in a loop of our own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam (Kingma & Ba 2015), and how weights decay.

    Attributes:
        betas: Of the means of gradients and of their squares.
        eps: Added to the root of the latter.
        weight_decay: Share by which weights are reduced.
        is_decoupled: Whether weights are reduced by that share of the learning rate (AdamW,
            Loshchilov & Hutter 2019), else by an addition to the gradient.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    is_decoupled: bool = True

    def make(self, parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Adam:
        """Make the optimiser of parameters; frozen ones are left out."""
        kind = torch.optim.AdamW if self.is_decoupled else torch.optim.Adam
        return kind(
            [one for one in parameters if one.requires_grad],
            lr=learning_rate,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay,
        )
