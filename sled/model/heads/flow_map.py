"""A flow map by Lagrangian self-distillation (Boffi et al., arXiv 2505.18825): a draw in one step.

The map X_{s,t}(x) = x + (t - s) u(x, s, t) carries a point of time s to time t along the flow whose
velocity is v_t(x) = u(x, t, t). The network learns the velocity by flow matching on the diagonal,
and elsewhere that a point that is carried moves with it:

    E |u(x_t, t, t) - (x_1 - x_0)|^2  +  E w |d/dt X_{s,t}(x_s) - stopgrad(v_t(X_{s,t}(x_s)))|^2

The weight w = 1 / (1 + stopgrad(e)) of each point, with its mean squared error e, bounds the second
part (as in Geng et al., arXiv 2505.13447). Its goal is the network's own: without the weight, a
point that is carried too far gets a goal that is farther still, and training diverges on latents of
hundreds of dimensions.

Shapes: F frames, M draws of a frame, D latent width, H hidden width, T width of a time.
"""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from sled.model.config import Architecture, Objective
from sled.model.heads.continuous import LatentHead
from sled.model.heads.energy import NoiseModulatedMLP
from sled.model.heads.flow import TIME_WIDTH, draw_times, embed_time
from sled.model.heads.scores import Score, without_repulsion


class FlowMapHead(LatentHead):
    """Learns a flow map, and draws in `Architecture.head_steps` steps, of which one is enough."""

    def __init__(self, architecture: Architecture, objective: Objective) -> None:
        super().__init__(architecture, objective)
        self.noise_width = architecture.vae_embed_dim
        self.net = NoiseModulatedMLP(architecture, architecture.vae_embed_dim + 2 * TIME_WIDTH)

    def velocity(self, hidden: Tensor, point: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """Return mean velocities [..., D] from times `start` [...] to `end` [...]."""
        inputs = torch.cat([point, embed_time(start), embed_time(end - start)], -1)
        velocity: Tensor = self.net(inputs.to(hidden.dtype), hidden)
        return velocity

    @override
    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        steps = self.architecture.head_steps
        point = noise.to(hidden.dtype)
        for step in range(steps):
            start, end = (
                torch.full(point.shape[:-1], (step + more) / steps, device=point.device)
                for more in (0, 1)
            )
            point = point + self.velocity(hidden, point, start, end) / steps
        return point

    @override
    def draw_noise(
        self, num_frames: int, device: torch.device, generator: torch.Generator | None = None
    ) -> Tensor:
        """Noise [M, F, D + 2]; the last two values give the times."""
        noise = super().draw_noise(num_frames, device, generator)
        times = torch.randn(*noise.shape[:-1], 2, device=device, generator=generator)
        return torch.cat([noise, times], -1)

    @override
    def score(self, hidden: Tensor, target: Tensor, noise: Tensor) -> Score:
        origin = noise[..., :-2]
        times = draw_times(noise[..., -2:], self.objective.time_sampling)
        start, end = times.amin(-1), times.amax(-1)
        goal = target.float() - origin
        point = origin + start[..., None] * goal
        error = self.velocity(hidden, point, start, start).float() - goal
        matching = error.square().mean(-1)

        def carried(end: Tensor) -> Tensor:
            step = (end - start)[..., None]
            return point + step * self.velocity(hidden, point, start, end).float()

        reached, moving = torch.func.jvp(carried, (end,), (torch.ones_like(end),))[:2]
        with torch.no_grad():
            velocity = self.velocity(hidden, reached, end, end).float()
        distilled = (moving - velocity).square().mean(-1)
        distilled = distilled / (1 + distilled.detach())
        return without_repulsion((matching + distilled).mean(0))
