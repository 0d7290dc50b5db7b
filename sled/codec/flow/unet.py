"""The U-nets of CosyVoice and CosyVoice2, which estimate velocities (Mehta et al. 2023).

That of CosyVoice halves the rate of frames once, and sees a whole signal. That of CosyVoice2 has
one rate, causal convolutions and attention in chunks, so that it can run piece by piece. Attributes
have the published tensor names.

Shapes: B batch, F frames, M mel bands, C channels, T width of the embedding of time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from sled.codec.flow.attention import ChunkContext, chunk_mask
from sled.codec.flow.estimator import (
    CausalConv,
    ChannelNorm,
    Estimator,
    FlowInputs,
    join_inputs,
    sinusoids,
)
from sled.codec.memory import Memory

_GROUPS = 8


@dataclass(frozen=True, kw_only=True)
class UNetSizes:
    """The sizes of a U-net.

    Attributes:
        in_channels: 4 M.
        out_channels: M.
        channels: C of each level; the rate is halved from one to the next.
        attention_head_dim: Width of a head.
        num_heads: Number of heads.
        n_blocks: Transformer blocks after each ResNet block.
        num_mid_blocks: ResNet blocks at the lowest rate.
        static_chunk_size: Frames of a chunk in streaming, if the U-net is causal.
    """

    in_channels: int = 320
    out_channels: int = 80
    channels: tuple[int, ...] = (256,)
    attention_head_dim: int = 64
    num_heads: int = 8
    n_blocks: int = 4
    num_mid_blocks: int = 12
    static_chunk_size: int = 50

    def __post_init__(self) -> None:
        if not 1 <= len(self.channels) <= 2:
            raise ValueError(f"a U-net has one or two levels of channels, got {self.channels}")


class TimeEmbedding(nn.Module):
    """Times to vectors."""

    def __init__(self, width: int, time_width: int) -> None:
        super().__init__()
        self.width = width
        self.linear_1 = nn.Linear(width, time_width)
        self.linear_2 = nn.Linear(time_width, time_width)

    def forward(self, time: Tensor) -> Tensor:
        """Map [B] to [B, T]."""
        waves = sinusoids(time, self.width, self.width // 2 - 1)
        embedded: Tensor = self.linear_2(F.silu(self.linear_1(waves.to(self.linear_1.weight))))
        return embedded


class ConvBlock(nn.Module):
    """Convolution, normalization and Mish."""

    def __init__(self, channels: int, out_channels: int, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        if causal:  # the published module also has two transpositions
            self.block = nn.ModuleDict(
                {"0": CausalConv(channels, out_channels, 3), "2": ChannelNorm(out_channels)}
            )
        else:
            self.block = nn.ModuleDict(
                {
                    "0": nn.Conv1d(channels, out_channels, 3, padding=1),
                    "1": nn.GroupNorm(_GROUPS, out_channels),
                }
            )

    def forward(self, x: Tensor, mask: Tensor, memory: Memory) -> Tensor:
        """Map [B, C, F] to [B, C', F]."""
        conv, norm = self.block.values()
        x = x * mask
        x = conv.step(x, memory) if isinstance(conv, CausalConv) else conv(x)
        return F.mish(norm(x)) * mask


class ResNetBlock(nn.Module):
    """Two convolutions, between which the time is added, and a residual connection."""

    def __init__(self, channels: int, out_channels: int, time_width: int, causal: bool) -> None:
        super().__init__()
        self.block1 = ConvBlock(channels, out_channels, causal)
        self.block2 = ConvBlock(out_channels, out_channels, causal)
        self.mlp = nn.Sequential(nn.Mish(), nn.Linear(time_width, out_channels))
        self.res_conv = nn.Conv1d(channels, out_channels, 1)

    def forward(self, x: Tensor, mask: Tensor, time: Tensor, memory: Memory) -> Tensor:
        """Map [B, C, F] to [B, C', F]."""
        h = self.block1(x, mask, memory) + self.mlp(time)[..., None]
        output: Tensor = self.block2(h, mask, memory) + self.res_conv(x * mask)
        return output


class Attention(nn.Module):
    """Attention without positions."""

    def __init__(self, channels: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = (heads, head_width)
        inner = heads * head_width
        self.to_q = nn.Linear(channels, inner, bias=False)
        self.to_k = nn.Linear(channels, inner, bias=False)
        self.to_v = nn.Linear(channels, inner, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(inner, channels)])

    def forward(self, x: Tensor, context: ChunkContext) -> Tensor:
        """Map [B, F, C] to [B, F, C]."""
        query, key, value = (
            project(x).unflatten(-1, self.heads) for project in (self.to_q, self.to_k, self.to_v)
        )
        output: Tensor = self.to_out[0](context.attend(0, query, key, value, 0.0).flatten(-2))
        return output


class Gelu(nn.Module):
    """A linear layer, and the exact GELU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., C] to [..., width]."""
        return F.gelu(self.proj(x))


class FeedForward(nn.Module):
    """Two linear layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.ModuleDict(
            {"0": Gelu(channels, 4 * channels), "2": nn.Linear(4 * channels, channels)}
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., C] to [..., C]."""
        for layer in self.net.values():
            x = layer(x)
        return x


class TransformerBlock(nn.Module):
    """Pre-norm attention and feed-forward layers."""

    def __init__(self, channels: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.norm1, self.norm3 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads, head_width)
        self.ff = FeedForward(channels)

    def forward(self, x: Tensor, context: ChunkContext) -> Tensor:
        """Map [B, F, C] to [B, F, C]."""
        x = x + self.attn1(self.norm1(x), context)
        output: Tensor = x + self.ff(self.norm3(x))
        return output


class Stage(nn.ModuleList):
    """A ResNet block, transformer blocks, and for most stages a convolution that changes rates."""

    def run(
        self, x: Tensor, mask: Tensor, time: Tensor, context: ChunkContext, memory: Memory
    ) -> Tensor:
        """Run the blocks: [B, C, F] to [B, C', F]."""
        x = self[0](x, mask, time, memory).transpose(1, 2)
        for block in cast("nn.ModuleList", self[1]):
            x = block(x, context)
        return x.transpose(1, 2)

    def change(self, x: Tensor, memory: Memory) -> Tensor:
        """Run the convolution."""
        layer = self[2]
        changed: Tensor = layer.step(x, memory) if isinstance(layer, CausalConv) else layer(x)
        return changed

    @property
    def resamples(self) -> bool:
        """Whether the convolution changes the rate."""
        return isinstance(self[2], _Resample)


class _Resample(nn.Module):
    """Halves or doubles the rate."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        resampled: Tensor = self.conv(x)
        return resampled


class UNet(Estimator):
    """A U-net with one or two levels.

    Args:
        sizes: Its sizes.
        causal: Whether convolutions see no later frames. Such a U-net has one level.

    Raises:
        ValueError: If the sizes do not fit.
    """

    def __init__(self, sizes: UNetSizes, causal: bool) -> None:
        super().__init__()
        if causal != (len(sizes.channels) == 1):
            raise ValueError(f"channels {sizes.channels}: a causal U-net has one level, others two")
        self.sizes, self.causal = sizes, causal
        channels, time_width = sizes.channels, 4 * sizes.channels[0]
        self.time_mlp = TimeEmbedding(sizes.in_channels, time_width)

        def stage(width: int, out_width: int, change: nn.Module | None) -> Stage:
            parts: list[nn.Module] = [
                ResNetBlock(width, out_width, time_width, causal),
                nn.ModuleList(
                    TransformerBlock(out_width, sizes.num_heads, sizes.attention_head_dim)
                    for _ in range(sizes.n_blocks)
                ),
            ]
            return Stage(parts if change is None else [*parts, change])

        def smooth(width: int) -> nn.Module:
            return CausalConv(width, width, 3) if causal else nn.Conv1d(width, width, 3, padding=1)

        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        before = sizes.in_channels
        for level, width in enumerate(channels):
            halve: nn.Module = smooth(width)
            if level + 1 < len(channels):
                halve = _Resample(nn.Conv1d(width, width, 3, stride=2, padding=1))
            self.down_blocks.append(stage(before, width, halve))
            before = width
        self.mid_blocks = nn.ModuleList(
            stage(before, before, None) for _ in range(sizes.num_mid_blocks)
        )
        upwards = [*channels[::-1], channels[0]]
        for level, (width, out_width) in enumerate(zip(upwards, upwards[1:], strict=False)):
            double: nn.Module = smooth(out_width)
            if level + 1 < len(channels):
                double = _Resample(nn.ConvTranspose1d(out_width, out_width, 4, 2, 1))
            self.up_blocks.append(stage(2 * width, out_width, double))
        self.final_block = ConvBlock(channels[0], channels[0], causal)
        self.final_proj = nn.Conv1d(channels[0], sizes.out_channels, 1)

    @property
    @override
    def output_layer(self) -> nn.Conv1d:
        return self.final_proj

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
        embedded = self.time_mlp(time)
        x = join_inputs(x, inputs)
        masks, skips, contexts = [mask], [], [context]
        for stage in cast("Iterable[Stage]", self.down_blocks):
            x = stage.run(x, masks[-1], embedded, contexts[-1], memory)
            skips.append(x)
            x = stage.change(x * masks[-1], memory)
            if stage.resamples:
                masks.append(masks[-1][..., ::2])
                contexts.append(whole_context(masks[-1], 0))
        for stage in cast("Iterable[Stage]", self.mid_blocks):
            x = stage.run(x, masks[-1], embedded, contexts[-1], memory)
        for stage in cast("Iterable[Stage]", self.up_blocks):
            skip = skips.pop()
            x = torch.cat((x[..., : skip.shape[-1]], skip), 1)
            x = stage.run(x, masks[-1], embedded, contexts[-1], memory)
            x = stage.change(x * masks[-1], memory)
            if stage.resamples:
                masks.pop()
                contexts.pop()
        x = self.final_block(x, mask, memory)
        velocity: Tensor = self.final_proj(x * mask) * mask
        return velocity


def whole_context(mask: Tensor, chunk: int) -> ChunkContext:
    """The context of padded signals with a mask [B, 1, F], in chunks of frames or (0) in one."""
    positions = torch.arange(mask.shape[-1], device=mask.device)[None]
    return ChunkContext(positions, 0, mask, chunk_mask(mask[:, 0] > 0, chunk))
