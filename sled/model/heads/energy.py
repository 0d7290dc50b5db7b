"""The energy head: draws a latent vector from a hidden state and a noise vector, in one pass.

The residual stream starts as the hidden state, and the noise modulates it through adaptive layer
norms. Attributes have the published tensor names (`net.res_blocks.0.mlp.2.weight`, ...).

Shapes: N noise width, W head width, H hidden width, D latent width; any leading dimensions.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from sled.model.config import Architecture, Objective
from sled.model.heads.continuous import LatentHead
from sled.model.heads.scores import Score, score_samples

EPSILON = 1e-6


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    width = int(x.shape[-1])  # a constant in ONNX graphs
    return F.layer_norm(x, [width], eps=EPSILON) * (1 + scale) + shift


class XavierLinear(nn.Linear):
    """A linear layer with Xavier-uniform initial weights and zero bias."""

    @override
    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)


class ZeroLinear(nn.Linear):
    """A linear layer with zero initial weights, so that a block modulated by it is the identity."""

    @override
    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class ResidualBlock(nn.Module):
    """x + gate * mlp(layer_norm(x) * (1 + scale) + shift), modulated by the noise y."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.noise_ln = nn.LayerNorm(width, eps=EPSILON)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), ZeroLinear(width, 3 * width))
        self.mlp = nn.Sequential(XavierLinear(width, width), nn.SiLU(), XavierLinear(width, width))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return [..., W] for the residual stream x [..., W] and the noise y [..., W]."""
        shift, scale, gate = self.adaLN_modulation(self.noise_ln(y)).chunk(3, dim=-1)
        output: Tensor = x + gate * self.mlp(_modulate(x, shift, scale))
        return output


class FinalLayer(nn.Module):
    """A modulated norm and a projection to the latent vector."""

    def __init__(self, width: int, latent_dim: int) -> None:
        super().__init__()
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), ZeroLinear(width, 2 * width))
        self.linear = ZeroLinear(width, latent_dim)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return [..., D] for the residual stream x [..., W] and the noise y [..., W]."""
        shift, scale = self.adaLN_modulation(y).chunk(2, dim=-1)
        latents: Tensor = self.linear(_modulate(x, shift, scale))
        return latents


class NoiseModulatedMLP(nn.Module):
    """The network of the head; other heads give it inputs of another width than its noise."""

    def __init__(self, architecture: Architecture, noise_width: int | None = None) -> None:
        super().__init__()
        width = architecture.diffloss_w
        self.input_proj = XavierLinear(noise_width or architecture.noise_channels, width)
        self.cond_embed = XavierLinear(architecture.hidden_size, width)
        self.res_blocks = nn.ModuleList(
            ResidualBlock(width) for _ in range(architecture.diffloss_d)
        )
        self.final_layer = FinalLayer(width, architecture.vae_embed_dim)

    def forward(self, noise: Tensor, hidden: Tensor) -> Tensor:
        """Return latents [..., D] for noise [..., N] and hidden states [..., H], broadcast."""
        y = self.input_proj(noise)
        x = self.cond_embed(hidden)
        for block in self.res_blocks:
            x = block(x, y)
        latents: Tensor = self.final_layer(x, y)
        return latents


class EnergyHead(LatentHead):
    """Draws latent vectors, and scores its own draws by the true ones in training."""

    def __init__(self, architecture: Architecture, objective: Objective) -> None:
        super().__init__(architecture, objective)
        self.noise_width = architecture.noise_channels
        self.net = NoiseModulatedMLP(architecture)

    @override
    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        latents: Tensor = self.net(noise.to(hidden.dtype), hidden)
        return latents

    @override
    def score(self, hidden: Tensor, target: Tensor, noise: Tensor) -> Score:
        return score_samples(self.draw(hidden, noise), target, self.objective)
