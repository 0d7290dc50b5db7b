"""Encoders of flows: speech tokens to states, in CosyVoice2 and Step-Audio two for each token.

Attributes have the published tensor names.

Shapes: B batch, T tokens, F frames, which are 2 T, E width of inputs, H width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sled.codec.flow.attention import ChunkContext, chunk_mask
from sled.codec.memory import Memory
from sled.model.tokens.relative_attention import (
    ConformerLayer,
    InputLayer,
    RelativeStack,
    StackSizes,
)


@dataclass(frozen=True, kw_only=True)
class EncoderSizes(StackSizes):
    """The sizes of an encoder, whose attention has dropout as published."""

    attention_dropout_rate: float = 0.1


@dataclass(frozen=True, kw_only=True)
class UpsamplingSizes(EncoderSizes):
    """The sizes of an encoder with two frames for each token.

    Attributes:
        num_up_blocks: Number of layers at the rate of frames.
        lookahead: Later tokens that a token's state depends on, beside those of its chunk.
        chunk: Tokens of a chunk in streaming.
    """

    num_up_blocks: int
    lookahead: int = 3
    chunk: int = 25

    def __post_init__(self) -> None:
        if self.chunk < 1 or self.lookahead < 0:
            raise ValueError(
                f"chunks of {self.chunk} tokens with {self.lookahead} ahead: use at least 1 and 0"
            )


class PlainEncoder(RelativeStack):
    """An encoder with a state for each token; every token sees all."""

    def __init__(self, sizes: StackSizes) -> None:
        super().__init__(sizes, ConformerLayer, rectify=False)
        self.width = sizes.output_size

    def encode(self, x: Tensor, valid: Tensor) -> Tensor:
        """Embedded tokens [B, T, E] to states [B, T, H]; `valid` [B, T] is False at padding."""
        positions = torch.arange(x.shape[1], device=x.device)[None]
        context = ChunkContext(positions, self.width, x, chunk_mask(valid, 0))
        states: Tensor = self(x, context)
        return states


class Lookahead(nn.Module):
    """Mixes each token's input with those of its neighbours, also later ones."""

    def __init__(self, width: int, lookahead: int) -> None:
        super().__init__()
        self.lookahead = lookahead
        self.conv1 = nn.Conv1d(width, width, lookahead + 1)
        self.conv2 = nn.Conv1d(width, width, 3)

    def forward(self, x: Tensor, later: Tensor, memory: Memory) -> Tensor:
        """Map inputs [B, T, H], with those [B, lookahead, H] after them, to [B, T, H]."""
        mixed = F.leaky_relu(self.conv1(torch.cat((x, later), 1).mT), 0.01)
        mixed = self.conv2(memory.past(mixed, 2))
        output: Tensor = x + mixed.mT
        return output


class Doubling(nn.Module):
    """Repeats every column, and smooths the result by a causal convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 5)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """Map [B, T, H] to [B, 2 T, H]."""
        doubled = x.mT[..., None].expand(-1, -1, -1, 2).flatten(-2)  # also in ONNX of any length
        smooth: Tensor = self.conv(memory.past(doubled, 4))
        return smooth.mT


class UpsamplingEncoder(RelativeStack):
    """An encoder with two states for each token, which can run in chunks."""

    def __init__(self, sizes: UpsamplingSizes) -> None:
        super().__init__(sizes, ConformerLayer, rectify=False)
        self.width = sizes.output_size
        self.sizes = sizes
        self.pre_lookahead_layer = Lookahead(sizes.output_size, sizes.lookahead)
        self.up_layer = Doubling(sizes.output_size)
        self.up_embed = InputLayer(replace(sizes, input_size=sizes.output_size), rectify=False)
        self.up_encoders = nn.ModuleList(
            ConformerLayer(sizes, layer) for layer in range(sizes.num_up_blocks)
        )

    def encode(self, x: Tensor, valid: Tensor, chunk: int) -> Tensor:
        """Whole sequences of embedded tokens.

        Args:
            x: [B, T, E].
            valid: bool [B, T], False at padding.
            chunk: Tokens of a chunk. 0: every token sees all.

        Returns:
            [B, 2 T, H].
        """
        whole, masks = Memory.of_whole(), []
        for ratio in (1, 2):
            masks.append(chunk_mask(valid.repeat_interleave(ratio, 1), ratio * chunk))
        later = x.new_zeros(len(x), self.sizes.lookahead, self.width)
        start = torch.zeros(1, dtype=torch.long, device=x.device)
        return self._run(x, later, start, whole, whole, (masks[0], masks[1]))

    def step(
        self, x: Tensor, later: Tensor, start: Tensor, tokens: Memory, frames: Memory
    ) -> Tensor:
        """The next chunk of streams.

        Args:
            x: [B, T, E] embedded tokens, which see each other and what is remembered.
            later: [B, n, E] the tokens after them; fewer than the look-ahead at the end.
            start: int64 [B] how many tokens there were before.
            tokens: Memory of the layers at the rate of tokens.
            frames: Memory of the layers at the rate of frames.

        Returns:
            [B, 2 T, H].
        """
        ahead = self.embed(later)
        ahead = F.pad(ahead, (0, 0, 0, self.sizes.lookahead - later.shape[1]))
        return self._run(x, ahead, start, tokens, frames, (None, None))

    def _run(
        self,
        x: Tensor,
        later: Tensor,
        start: Tensor,
        tokens: Memory,
        frames: Memory,
        masks: tuple[Tensor | None, Tensor | None],
    ) -> Tensor:
        x = self.pre_lookahead_layer(self.embed(x), later, tokens)
        context = ChunkContext(_positions(start, x), self.width, x, masks[0], tokens)
        for layer in self.encoders:
            x = layer(x, context)
        x = self.up_embed(self.up_layer(x, frames))
        context = ChunkContext(_positions(2 * start, x), self.width, x, masks[1], frames)
        for layer in self.up_encoders:
            x = layer(x, context)
        states: Tensor = self.after_norm(x)
        return states


def _positions(start: Tensor, x: Tensor) -> Tensor:
    return start[:, None] + torch.arange(x.shape[1], device=x.device)
