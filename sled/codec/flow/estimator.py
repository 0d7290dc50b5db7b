"""What the estimators of velocities have in common.

Shapes: B batch, F frames, M mel bands, C channels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sled.codec.flow.attention import ChunkContext
from sled.codec.memory import Memory

TIME_SCALE = 1000.0
"""Times from 0 to 1 are multiplied by it before they are embedded."""


@dataclass(frozen=True, eq=False)
class FlowInputs:
    """What conditions a velocity, beside the noisy mel spectrogram and the time.

    Attributes:
        mu: [B, M, F] what the encoder makes of the tokens.
        speaker: [B, M].
        prompt: [B, M, F] the mel spectrogram of a prompt, zeros after it.
    """

    mu: Tensor
    speaker: Tensor
    prompt: Tensor

    def with_empty(self) -> FlowInputs:
        """[2 B, ...] these, each followed by one with zeros, for guidance."""

        def double(x: Tensor) -> Tensor:
            return torch.stack((x, torch.zeros_like(x)), 1).flatten(0, 1)

        return FlowInputs(double(self.mu), double(self.speaker), double(self.prompt))

    def masked(self, keep: Tensor) -> FlowInputs:
        """Zeros in the rows where `keep` [B] is False."""
        wide = keep.to(self.mu)[:, None, None]
        return FlowInputs(self.mu * wide, self.speaker * wide[:, 0], self.prompt * wide)


class Estimator(nn.Module, ABC):
    """Estimates the velocity of a noisy mel spectrogram."""

    @property
    @abstractmethod
    def output_layer(self) -> nn.Conv1d | nn.Linear:
        """The last layer, from channels to mel bands."""

    @abstractmethod
    def forward(
        self,
        x: Tensor,
        time: Tensor,
        inputs: FlowInputs,
        mask: Tensor,
        context: ChunkContext,
        memory: Memory,
    ) -> Tensor:
        """Return the velocity [B, M, F].

        Args:
            x: [B, M, F].
            time: [B], from 0 to 1.
            inputs: What it is conditioned on.
            mask: [B, 1, F], 0 at padding, else 1.
            context: Which frames see which.
            memory: Of the convolutions; that of the attention is in the context.
        """


def join_inputs(x: Tensor, inputs: FlowInputs) -> Tensor:
    """The input of an estimator, [B, 4 M, F]."""
    speaker = inputs.speaker[..., None].expand(-1, -1, x.shape[-1])
    return torch.cat((x, inputs.mu, speaker, inputs.prompt), 1)


def sinusoids(time: Tensor, width: int, denominator: int, scale: float = TIME_SCALE) -> Tensor:
    """Sines and cosines of times [B], each [B, width / 2].

    The frequencies are 10000^(-i / denominator), i < width / 2.
    """
    half = torch.arange(width // 2, device=time.device, dtype=torch.float32)
    frequencies = torch.exp(half * (-math.log(10_000.0) / denominator))
    angle = (scale * time)[:, None] * frequencies
    return torch.cat((angle.sin(), angle.cos()), -1)


class CausalConv(nn.Conv1d):
    """A convolution that sees no later columns."""

    def step(self, x: Tensor, memory: Memory) -> Tensor:
        """Map [B, C, n] to [B, C', n]."""
        convolved: Tensor = self(memory.past(x, self.kernel_size[0] - 1))
        return convolved


class ChannelNorm(nn.LayerNorm):
    """Layer normalization of the channels of each column."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, n] to [B, C, n]."""
        return super().forward(x.transpose(1, 2)).transpose(1, 2)
