"""The layers of a vocoder. They see later columns, and wait for them when they run as a stream.

Shapes: B batch, C channels, n columns, which are points in time at the layer's own rate.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from sled.codec.exact import back
from sled.codec.memory import Memory


class Conv(nn.Conv1d):
    """A convolution with zeros before and after the signal."""

    def step(self, x: Tensor, memory: Memory) -> Tensor:
        """Map a piece [B, C, n] to the columns [B, C', m] that are complete."""
        [kernel], [stride], [dilation] = self.kernel_size, self.stride, self.dilation
        assert isinstance(self.padding, tuple)
        [padding] = self.padding
        x = memory.windows(x, (kernel - 1) * dilation + 1, stride, padding, padding)
        if not x.shape[-1]:
            return x.new_empty(len(x), self.out_channels, 0)
        if x.dtype == torch.float64 and torch.onnx.is_in_onnx_export():
            return self._as_products(x)
        return F.conv1d(x, self.weight, self.bias, stride, 0, dilation, self.groups)

    def _as_products(self, x: Tensor) -> Tensor:
        """The same for a signal with its zeros; ONNX Runtime has no convolution in float64."""
        assert self.stride == self.dilation == (1,) and self.groups == 1
        [kernel] = self.kernel_size
        columns = x.shape[-1] - kernel + 1
        parts = [self.weight[..., one] @ x[..., one : one + columns] for one in range(kernel)]
        summed = torch.stack(parts).sum(0)
        return summed if self.bias is None else summed + self.bias[:, None]


def same_conv(in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1) -> Conv:
    """A convolution that keeps the number of columns, with a normalized weight."""
    padding = dilation * (kernel_size - 1) // 2
    conv: Conv = weight_norm(
        Conv(in_channels, out_channels, kernel_size, dilation=dilation, padding=padding)
    )
    return conv


class Upsample(nn.ConvTranspose1d):
    """A transposed convolution that gives `stride` columns for each."""

    def step(self, x: Tensor, memory: Memory) -> Tensor:
        """Map a piece [B, C, n] to the columns [B, C', m] that are complete."""
        [kernel], [stride] = self.kernel_size, self.stride
        cut, overlap = (kernel - stride) // 2, kernel - stride
        columns = x.shape[-1] * stride
        if x.shape[-1]:
            spread = F.conv_transpose1d(x, self.weight, None, stride)
        else:
            spread = x.new_zeros(len(x), self.out_channels, overlap)
        spread, tail = spread[..., :columns], spread[..., columns:]
        before = memory.exchange(tail)
        if before is not None:
            reach = min(overlap, columns)
            rest = before[..., reach:]
            spread = torch.cat((spread[..., :reach] + before[..., :reach], spread[..., reach:]), -1)
            tail = tail + F.pad(rest, (0, overlap - rest.shape[-1]))
            if not memory.ends:
                memory.after[-1] = tail
        if memory.ends:
            spread = torch.cat((spread, tail[..., : overlap - cut]), -1)
        if self.bias is not None:
            spread = spread + self.bias[:, None]
        return spread[..., cut:] if memory.begins else spread


def upsample(in_channels: int, out_channels: int, kernel_size: int, stride: int) -> Upsample:
    """An upsampling layer with a normalized weight."""
    layer: Upsample = weight_norm(Upsample(in_channels, out_channels, kernel_size, stride))
    return layer


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha for each channel (Ziyin et al. 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, n] to [B, C, n]."""
        alpha = self.alpha[:, None]
        return x + (alpha * x).sin().square() / (alpha + 1e-9)


class ResBlock(nn.Module):
    """Pairs of convolutions, each with a residual connection; the first is dilated."""

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            same_conv(channels, channels, kernel_size, dilation) for dilation in dilations
        )
        self.convs2 = nn.ModuleList(same_conv(channels, channels, kernel_size) for _ in dilations)
        self.activations1 = nn.ModuleList(Snake(channels) for _ in dilations)
        self.activations2 = nn.ModuleList(Snake(channels) for _ in dilations)

    def step(self, x: Tensor, memory: Memory) -> Tensor:
        """Map a piece [B, C, n] to the columns [B, C, m] that are complete."""
        layers = zip(self.activations1, self.convs1, self.activations2, self.convs2, strict=True)
        for first_snake, first_conv, second_snake, second_conv in layers:
            assert isinstance(first_conv, Conv) and isinstance(second_conv, Conv)
            y = first_conv.step(first_snake(x), memory)
            y = second_conv.step(second_snake(y), memory)
            x, y = memory.together(x, y)
            x = x + y
        return x


class F0Predictor(nn.Module):
    """Mel frames to fundamental frequencies."""

    def __init__(self, num_mels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number in range(5):
            layers += [same_conv(width if number else num_mels, width, 3), nn.ELU()]
        self.condnet = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, 1)

    def step(self, mel: Tensor, memory: Memory) -> Tensor:
        """Map mel frames [B, M, n] to frequencies [B, m] in Hz."""
        x = back(mel.to(self.classifier.weight.device), self.classifier.weight)
        for layer in self.condnet:
            x = layer.step(x, memory) if isinstance(layer, Conv) else layer(x)
        frequency: Tensor = self.classifier(x.mT).abs()
        return frequency[..., 0]
