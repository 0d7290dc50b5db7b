"""The diffusion transformer of Step-Audio, which estimates velocities (Peebles and Xie 2023).

Attributes have the published tensor names.

Shapes: B batch, F frames, M mel bands, H width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from sled.codec.flow.attention import ChunkContext
from sled.codec.flow.estimator import (
    CausalConv,
    ChannelNorm,
    Estimator,
    FlowInputs,
    join_inputs,
    sinusoids,
)
from sled.codec.memory import Memory

_TIME_WIDTH = 256
_EPSILON = 1e-6


@dataclass(frozen=True, kw_only=True)
class DiTSizes:
    """The sizes of the transformer; defaults as published.

    Attributes:
        in_channels: 4 M.
        out_channels: M.
        hidden_size: H.
        depth: Number of blocks.
        num_heads: Number of heads.
        head_dim: Width of a head.
        mlp_ratio: How many times wider than H the MLP is.
    """

    in_channels: int = 320
    out_channels: int = 80
    hidden_size: int = 512
    depth: int = 16
    num_heads: int = 8
    head_dim: int = 64
    mlp_ratio: float = 4.0


class TimeEmbedder(nn.Module):
    """Times to vectors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(_TIME_WIDTH, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Tensor) -> Tensor:
        """Map [B] to [B, H]."""
        waves = sinusoids(time, _TIME_WIDTH, _TIME_WIDTH // 2).roll(_TIME_WIDTH // 2, -1)
        embedded: Tensor = self.mlp(waves.to(time))
        return embedded


class Attention(nn.Module):
    """Attention without positions, with normalized queries and keys."""

    def __init__(self, sizes: DiTSizes) -> None:
        super().__init__()
        self.heads = (sizes.num_heads, sizes.head_dim)
        inner = sizes.num_heads * sizes.head_dim
        self.to_q = nn.Linear(sizes.hidden_size, inner)
        self.to_k = nn.Linear(sizes.hidden_size, inner)
        self.to_v = nn.Linear(sizes.hidden_size, inner)
        self.q_norm, self.k_norm = nn.LayerNorm(sizes.head_dim), nn.LayerNorm(sizes.head_dim)
        self.proj = nn.Linear(inner, sizes.hidden_size)

    def forward(self, x: Tensor, context: ChunkContext) -> Tensor:
        """Map [B, F, H] to [B, F, H]."""
        query, key, value = (
            project(x).unflatten(-1, self.heads) for project in (self.to_q, self.to_k, self.to_v)
        )
        attended = context.attend(0, self.q_norm(query), self.k_norm(key), value, 0.0)
        output: Tensor = self.proj(attended.flatten(-2))
        return output


class ConvBlock(nn.Module):
    """Two causal convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # Numbers as in the published module, which also has transpositions.
        self.block = nn.ModuleDict(
            {
                "1": CausalConv(width, width, 3),
                "3": ChannelNorm(width),
                "6": CausalConv(width, width, 3),
            }
        )

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """Map [B, F, H] to [B, F, H]."""
        first, norm, second = self.block.values()
        assert isinstance(first, CausalConv) and isinstance(second, CausalConv)
        x = F.mish(norm(first.step(x.transpose(1, 2), memory)))
        return second.step(x, memory).transpose(1, 2)


class MLP(nn.Module):
    """Two linear layers."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., H] to [..., H]."""
        output: Tensor = self.fc2(F.gelu(self.fc1(x), approximate="tanh"))
        return output


class Modulation(nn.Sequential):
    """The time [B, H] to factors and shifts, each [B, 1, H]."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__(nn.SiLU(), nn.Linear(width, count * width))
        self.count = count
        # A new block passes its input on unchanged.
        assert isinstance(self[1], nn.Linear)
        nn.init.zeros_(self[1].weight)
        nn.init.zeros_(self[1].bias)

    def vectors(self, time: Tensor) -> tuple[Tensor, ...]:
        """As many vectors [B, 1, H] as the modulation has."""
        vectors: Tensor = self(time)[:, None]
        return vectors.chunk(self.count, -1)


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    normal = F.layer_norm(x, (int(x.shape[-1]),), eps=_EPSILON)
    return normal * (1 + scale) + shift


class Block(nn.Module):
    """Attention, convolutions and an MLP, each modulated by the time."""

    def __init__(self, sizes: DiTSizes) -> None:
        super().__init__()
        width = sizes.hidden_size
        self.attn, self.conv = Attention(sizes), ConvBlock(width)
        self.mlp = MLP(width, int(width * sizes.mlp_ratio))
        self.adaLN_modulation = Modulation(width, 9)

    def forward(self, x: Tensor, time: Tensor, context: ChunkContext, memory: Memory) -> Tensor:
        """Map [B, F, H] to [B, F, H]."""
        attention, mlp, conv = _in_threes(self.adaLN_modulation.vectors(time))
        x = x + attention[2] * self.attn(_modulate(x, *attention[:2]), context)
        x = x + conv[2] * self.conv(_modulate(x, *conv[:2]), memory)
        output: Tensor = x + mlp[2] * self.mlp(_modulate(x, *mlp[:2]))
        return output


def _in_threes(vectors: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    return [vectors[start : start + 3] for start in range(0, len(vectors), 3)]


class FinalLayer(nn.Module):
    """A linear layer, modulated by the time."""

    def __init__(self, width: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, out_channels)
        self.adaLN_modulation = Modulation(width, 2)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map [B, F, H] to [B, F, M]."""
        output: Tensor = self.linear(_modulate(x, *self.adaLN_modulation.vectors(time)))
        return output


class DiT(Estimator):
    """The transformer.

    Args:
        sizes: Its sizes.
    """

    def __init__(self, sizes: DiTSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.t_embedder = TimeEmbedder(sizes.hidden_size)
        self.in_proj = nn.Linear(sizes.in_channels, sizes.hidden_size)
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(sizes.depth))
        self.final_layer = FinalLayer(sizes.hidden_size, sizes.out_channels)

    @property
    @override
    def output_layer(self) -> nn.Linear:
        return self.final_layer.linear

    @override
    def forward(
        self,
        x: Tensor,
        time: Tensor,
        inputs: FlowInputs,
        mask: Tensor,
        context: ChunkContext,
        memory: Memory,
    ) -> Tensor:
        embedded = self.t_embedder(time)
        hidden = self.in_proj(join_inputs(x, inputs).transpose(1, 2))
        for block in self.blocks:
            hidden = block(hidden, embedded, context, memory)
        velocity: Tensor = self.final_layer(hidden, embedded).transpose(1, 2)
        return velocity
