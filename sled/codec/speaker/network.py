"""CAM++, the speaker encoder of CosyVoice (Wang et al. 2023, arXiv 2303.00332).

Two-dimensional convolutions over time and frequency, then densely connected layers over time, each
with a gate that is computed from averages over the utterance and over segments of it. Attributes
have the published tensor names.

Shapes: B utterances, F frames of 10 ms, M mel bands, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_PICTURE_CHANNELS = 32
_SEGMENT_FRAMES = 100
_DILATIONS = (1, 2, 2)


@dataclass(frozen=True, kw_only=True)
class SpeakerSizes:
    """The sizes of a network; the defaults are those of the published one.

    Attributes:
        feat_dim: M.
        embedding_size: Width of the speaker vector.
        growth_rate: Channels that each dense layer adds.
        bn_size: Channels of the bottleneck of a dense layer, in units of `growth_rate`.
        init_channels: Channels before the first dense layer.
        block_layers: Dense layers of each of the three blocks.
    """

    feat_dim: int = 80
    embedding_size: int = 192
    growth_rate: int = 32
    bn_size: int = 4
    init_channels: int = 128
    block_layers: tuple[int, ...] = (12, 24, 16)

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> SpeakerSizes:
        """Read the sizes off the tensors.

        Raises:
            KeyError: If they are not of this network.
        """
        local = state["xvector.block1.tdnnd1.cam_layer.linear_local.weight"]
        first = state["xvector.tdnn.linear.weight"]
        blocks = (
            sum(
                name.startswith(f"xvector.block{block}.") and name.endswith("linear_local.weight")
                for name in state
            )
            for block in range(1, len(_DILATIONS) + 1)
        )
        return cls(
            feat_dim=first.shape[1] // _PICTURE_CHANNELS * 8,
            embedding_size=len(state["xvector.dense.linear.weight"]),
            growth_rate=local.shape[0],
            bn_size=local.shape[1] // local.shape[0],
            init_channels=len(first),
            block_layers=tuple(blocks),
        )


class ResidualBlock(nn.Module):
    """Two convolutions over time and frequency with a shortcut."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        channels = _PICTURE_CHANNELS
        self.conv1 = nn.Conv2d(channels, channels, 3, (stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, channels, 1, (stride, 1), bias=False),
                nn.BatchNorm2d(channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, M, F] to [B, C, M / stride, F]."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Head(nn.Module):
    """The convolutions over time and frequency, which reduce the frequencies to an eighth."""

    def __init__(self) -> None:
        super().__init__()
        channels = _PICTURE_CHANNELS
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = nn.Sequential(ResidualBlock(2), ResidualBlock(1))
        self.layer2 = nn.Sequential(ResidualBlock(2), ResidualBlock(1))
        self.conv2 = nn.Conv2d(channels, channels, 3, (2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map [B, M, F] to [B, C * M / 8, F]."""
        x = F.relu(self.bn1(self.conv1(features[:, None])))
        x = self.layer2(self.layer1(x))
        return F.relu(self.bn2(self.conv2(x))).flatten(1, 2)


def _norm(channels: int, rectify: bool = True, affine: bool = True) -> nn.Sequential:
    norm = nn.Sequential()
    norm.add_module("batchnorm", nn.BatchNorm1d(channels, affine=affine))
    if rectify:
        norm.add_module("relu", nn.ReLU())
    return norm


class ContextGate(nn.Module):
    """A convolution whose outputs are weighted by what surrounds them."""

    def __init__(self, channels: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(
            channels, outputs, 3, padding=dilation, dilation=dilation, bias=False
        )
        self.linear1 = nn.Conv1d(channels, channels // 2, 1)
        self.linear2 = nn.Conv1d(channels // 2, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, F] to [B, outputs, F]."""
        segments = F.avg_pool1d(x, _SEGMENT_FRAMES, _SEGMENT_FRAMES, ceil_mode=True)
        spread = segments.repeat_interleave(_SEGMENT_FRAMES, -1)[..., : x.shape[-1]]
        context = F.relu(self.linear1(x.mean(-1, keepdim=True) + spread))
        gated: Tensor = self.linear_local(x) * torch.sigmoid(self.linear2(context))
        return gated


class DenseLayer(nn.Module):
    """A dense layer: a bottleneck and a gated convolution."""

    def __init__(self, channels: int, sizes: SpeakerSizes, dilation: int) -> None:
        super().__init__()
        bottleneck = sizes.bn_size * sizes.growth_rate
        self.nonlinear1 = _norm(channels)
        self.linear1 = nn.Conv1d(channels, bottleneck, 1, bias=False)
        self.nonlinear2 = _norm(bottleneck)
        self.cam_layer = ContextGate(bottleneck, sizes.growth_rate, dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Append the new channels to [B, C, F]."""
        new = self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))
        return torch.cat((x, new), 1)


class NormedConvolution(nn.Module):
    """A convolution with normalisation before or after it.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        first: Whether normalisation comes first.
        kernel: Size of the kernel.
        stride: Stride.
        last: Whether it ends the network: no rectifier, no scale and no offset.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        first: bool = False,
        kernel: int = 1,
        stride: int = 1,
        last: bool = False,
    ) -> None:
        super().__init__()
        self.first = first
        self.linear = nn.Conv1d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.nonlinear = _norm(inputs if first else outputs, rectify=not last, affine=not last)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs, F] to [B, outputs, F / stride]."""
        output: Tensor = (
            self.linear(self.nonlinear(x)) if self.first else self.nonlinear(self.linear(x))
        )
        return output


class SpeakerNetwork(nn.Module):
    """From filter bank energies to a speaker vector.

    Args:
        sizes: The sizes.
    """

    def __init__(self, sizes: SpeakerSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.head = Head()
        self.xvector = nn.Sequential()
        channels = sizes.init_channels
        pictured = _PICTURE_CHANNELS * sizes.feat_dim // 8
        self.xvector.add_module("tdnn", NormedConvolution(pictured, channels, kernel=5, stride=2))
        for number, (layers, dilation) in enumerate(
            zip(sizes.block_layers, _DILATIONS, strict=True), start=1
        ):
            block = nn.Sequential()
            for layer in range(1, layers + 1):
                block.add_module(f"tdnnd{layer}", DenseLayer(channels, sizes, dilation))
                channels += sizes.growth_rate
            self.xvector.add_module(f"block{number}", block)
            transit = NormedConvolution(channels, channels // 2, first=True)
            self.xvector.add_module(f"transit{number}", transit)
            channels //= 2
        self.xvector.add_module("out_nonlinear", _norm(channels))
        self.xvector.add_module("stats", Statistics())
        dense = NormedConvolution(2 * channels, sizes.embedding_size, last=True)
        self.xvector.add_module("dense", dense)

    def forward(self, features: Tensor) -> Tensor:
        """Return speaker vectors [B, embedding_size] of features [B, F, M]."""
        vector: Tensor = self.xvector(self.head(features.transpose(1, 2)))
        return vector.squeeze(-1)


class Statistics(nn.Module):
    """Mean and standard deviation over time."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, F] to [B, 2 C, 1]."""
        return torch.cat((x.mean(-1), x.std(-1)), 1)[..., None]
