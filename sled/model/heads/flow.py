"""Flow matching: a draw is noise that is carried to a latent in several steps.

A point x_t = (1 - t) x_0 + t x_1 lies between noise x_0 and the true latent x_1. The network learns
the velocity (Lipman et al., arXiv 2210.02747, eq. 23 with sigma_min = 0):

    E |u(x_t, t) - (x_1 - x_0)|^2

and a draw solves dx/dt = u(x, t) from t = 0 to 1 with Euler's method.

Shapes: F frames, M draws of a frame, D latent width, H hidden width, T width of a time.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from sled.model.config import Architecture, Objective
from sled.model.heads.continuous import LatentHead
from sled.model.heads.energy import NoiseModulatedMLP
from sled.model.heads.scores import Score, without_repulsion

# Frequencies by which a time is shown to the network.
FREQUENCIES = 4
TIME_WIDTH = 1 + 2 * FREQUENCIES


def embed_time(time: Tensor) -> Tensor:
    """Return [..., T] for times [...] from 0 to 1."""
    angles = time[..., None] * math.pi * 2.0 ** torch.arange(FREQUENCIES, device=time.device)
    return torch.cat([time[..., None], angles.sin(), angles.cos()], -1)


def draw_times(normal: Tensor, sampling: str) -> Tensor:
    """Turn standard normal values into times from 0 to 1.

    Args:
        normal: [...] standard normal values.
        sampling: "uniform", or "lognormal": the logistic function of the values, which has more
            times in the middle (Esser et al. 2024).
    """
    if sampling == "lognormal":
        return torch.sigmoid(normal)
    uniform: Tensor = torch.special.ndtr(normal)
    return uniform


class FlowHead(LatentHead):
    """Learns velocities, and draws in `Architecture.head_steps` steps."""

    def __init__(self, architecture: Architecture, objective: Objective) -> None:
        super().__init__(architecture, objective)
        self.noise_width = architecture.vae_embed_dim
        self.net = NoiseModulatedMLP(architecture, architecture.vae_embed_dim + TIME_WIDTH)

    def velocity(self, hidden: Tensor, point: Tensor, time: Tensor) -> Tensor:
        """Return velocities [..., D] at points [..., D] and times [...]."""
        inputs = torch.cat([point, embed_time(time)], -1)
        velocity: Tensor = self.net(inputs.to(hidden.dtype), hidden)
        return velocity

    @override
    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        steps = self.architecture.head_steps
        point = noise.to(hidden.dtype)
        for step in range(steps):
            time = torch.full(point.shape[:-1], step / steps, device=point.device)
            point = point + self.velocity(hidden, point, time) / steps
        return point

    @override
    def draw_noise(
        self, num_frames: int, device: torch.device, generator: torch.Generator | None = None
    ) -> Tensor:
        """Noise [M, F, D + 1]; the last value of each gives the time."""
        noise = super().draw_noise(num_frames, device, generator)
        times = torch.randn(*noise.shape[:-1], 1, device=device, generator=generator)
        return torch.cat([noise, times], -1)

    @override
    def score(self, hidden: Tensor, target: Tensor, noise: Tensor) -> Score:
        start, time = noise[..., :-1], draw_times(noise[..., -1], self.objective.time_sampling)
        goal = target.float() - start
        point = start + time[..., None] * goal
        error = self.velocity(hidden, point, time).float() - goal
        return without_repulsion(error.square().mean(-1).mean(0))
