"""A Gaussian head, as a control: mean and variance of each value, independent of the others.

It learns by the negative logarithm of the probability, here without its constant:

    sum_d log(sigma_d) + (x_d - mu_d)^2 / (2 sigma_d^2)

Shapes: F frames, M draws of a frame, D latent width, H hidden width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from sled.model.config import Architecture, Objective
from sled.model.heads.continuous import LatentHead
from sled.model.heads.energy import NoiseModulatedMLP
from sled.model.heads.scores import Score, without_repulsion

# Limits of the logarithm of a standard deviation, for stability.
MIN_LOG, MAX_LOG = -6.0, 3.0


class GaussianHead(LatentHead):
    """Learns a diagonal Gaussian distribution."""

    def __init__(self, architecture: Architecture, objective: Objective) -> None:
        super().__init__(architecture, objective)
        self.noise_width = architecture.vae_embed_dim
        # The network of the other heads, whose input is constant: what it writes depends on the
        # hidden state only.
        self.mean = NoiseModulatedMLP(architecture, 1)
        self.log_deviation = NoiseModulatedMLP(architecture, 1)

    def distribution(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation [..., D] for hidden states [..., H]."""
        constant = torch.ones(*hidden.shape[:-1], 1, dtype=hidden.dtype, device=hidden.device)
        logarithm = self.log_deviation(constant, hidden).float().clamp(MIN_LOG, MAX_LOG)
        return self.mean(constant, hidden), logarithm.exp()

    @override
    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        mean, deviation = self.distribution(hidden)
        return mean + (deviation * noise).to(mean.dtype)

    @override
    def score(self, hidden: Tensor, target: Tensor, noise: Tensor) -> Score:
        mean, deviation = self.distribution(hidden)
        distance = (target.float() - mean.float()) / deviation
        return without_repulsion((deviation.log() + distance.square() / 2).mean(-1))
