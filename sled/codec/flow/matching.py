"""Conditional flow matching (Lipman et al. 2023): its loss, and its solution by Euler steps.

Shapes: B batch, M mel bands, F frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sled.codec.flow.estimator import FlowInputs

SIGMA_MIN = 1e-6
"""Deviation of the distribution around a mel spectrogram at time 1."""

SCHEDULES = ("cosine", "uniform")


@dataclass(frozen=True, kw_only=True)
class SolverOptions:
    """How a flow is solved.

    Attributes:
        steps: Number of Euler steps.
        guidance: How far velocities are moved away from those without conditions. 0: not at all.
        temperature: Factor of the noise that the solution begins with.
        schedule: "cosine" has smaller steps at the beginning; "uniform" has equal ones.

    Raises:
        ValueError: For an impossible value.
    """

    steps: int = 10
    guidance: float = 0.7
    temperature: float = 1.0
    schedule: str = "cosine"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.guidance < 0 or self.temperature < 0:
            raise ValueError(f"{self}: needs steps from 1, guidance and temperature from 0")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule {self.schedule!r}: choose from {', '.join(SCHEDULES)}")

    def times(self) -> list[float]:
        """The times between the steps, from 0 to 1."""
        even = [step / self.steps for step in range(self.steps + 1)]
        if self.schedule == "uniform":
            return even
        return [1 - math.cos(time * math.pi / 2) for time in even]


Velocity = Callable[[int, Tensor, Tensor], Tensor]
"""Step, x [B, M, F] and time [B] to velocity [B, M, F]."""


def solve(velocity: Velocity, noise: Tensor, options: SolverOptions) -> Tensor:
    """Follow a velocity from noise [B, M, F] to a mel spectrogram [B, M, F]."""
    x, times = options.temperature * noise, options.times()
    for step, (start, end) in enumerate(zip(times, times[1:], strict=False)):
        x = x + (end - start) * velocity(step, x, x.new_full((len(x),), start))
    return x


def guided(estimate: Velocity, options: SolverOptions) -> Velocity:
    """A velocity that is moved away from the one without conditions.

    Args:
        estimate: Gets every row twice, the second for zeros as conditions, see
            `FlowInputs.with_empty`.
        options: With guidance.
    """
    scale = options.guidance

    def velocity(step: int, x: Tensor, time: Tensor) -> Tensor:
        doubled = estimate(step, x.repeat_interleave(2, 0), time.repeat_interleave(2, 0))
        return (1 + scale) * doubled[0::2] - scale * doubled[1::2]

    return velocity


@dataclass(frozen=True, eq=False)
class FlowDraws:
    """The random numbers of a loss.

    Attributes:
        time: [B] from 0 to 1.
        noise: [B, M, F].
        keep: bool [B], False where the conditions are left out.
    """

    time: Tensor
    noise: Tensor
    keep: Tensor

    @classmethod
    def draw(
        cls,
        like: Tensor,
        drop_rate: float,
        generator: torch.Generator | None = None,
        cosine: bool = False,
    ) -> FlowDraws:
        """Draw them, in the published order.

        Args:
            like: [B, M, F].
            drop_rate: How often conditions are left out.
            generator: None: torch's global one.
            cosine: Whether times are drawn as the release of 2025 drew them, 1 - cos(pi t / 2).
        """
        device = like.device
        time = torch.rand(len(like), 1, 1, generator=generator, device=device)[:, 0, 0]
        if cosine:
            time = 1 - (time * math.pi / 2).cos()
        noise = torch.randn(like.shape, generator=generator, device=device)
        keep = torch.rand(len(like), generator=generator, device=device) > drop_rate
        return cls(time, noise, keep)


def prior_loss(mu: Tensor, mel: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of what the encoder makes of tokens, as an estimate of the mel frames.

    Without constants, this is the prior loss of Grad-TTS (Popov et al. 2021, arXiv 2105.06337,
    equation 13). The encoder then learns from every frame directly, not only by the velocities.

    Args:
        mu: [B, M, F].
        mel: [B, M, F].
        mask: [B, 1, F], 0 at padding, else 1.
    """
    return ((mu - mel) * mask).square().sum() / (mask.sum() * mel.shape[1])


def matching_loss(
    estimate: Callable[[Tensor, Tensor, FlowInputs], Tensor],
    mel: Tensor,
    mask: Tensor,
    inputs: FlowInputs,
    draws: FlowDraws,
) -> Tensor:
    """Mean squared error of the estimated velocities.

    Args:
        estimate: Noisy mel [B, M, F], time [B] and inputs to a velocity [B, M, F].
        mel: [B, M, F].
        mask: [B, 1, F], 0 at padding, else 1.
        inputs: The conditions.
        draws: Random numbers.
    """
    time = draws.time[:, None, None]
    noisy = (1 - (1 - SIGMA_MIN) * time) * draws.noise + time * mel
    target = mel - (1 - SIGMA_MIN) * draws.noise
    velocity = estimate(noisy, draws.time, inputs.masked(draws.keep))
    squared = ((velocity - target) * mask).square().sum()
    return squared / (mask.sum() * mel.shape[1])
