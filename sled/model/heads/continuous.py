"""What heads have in common whose units are latent vectors.

Shapes: F frames, M draws of a frame, D latent width, N noise width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from sled.model.config import Architecture
from sled.model.heads.base import Head


class LatentHead(Head):
    """A head that draws latent vectors [D], of which the mean is one, too."""

    averages = True
    unit_dtype = None

    @override
    @classmethod
    def unit_shape_of(cls, architecture: Architecture) -> tuple[int, ...]:
        return (architecture.vae_embed_dim,)

    @override
    @classmethod
    def input_layer(cls, architecture: Architecture) -> nn.Module:
        return nn.Linear(architecture.vae_embed_dim, architecture.hidden_size)

    @override
    def draw_noise(
        self, num_frames: int, device: torch.device, generator: torch.Generator | None = None
    ) -> Tensor:
        # All noise of the first draw comes before that of the second.
        draws = [
            torch.randn(num_frames, self.noise_width, device=device, generator=generator)
            for _ in range(self.objective.score_samples)
        ]
        noise = torch.stack(draws)
        clamp = self.objective.noise_clamp
        return noise.clamp(-clamp, clamp) if clamp else noise
