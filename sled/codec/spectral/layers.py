"""Causal layers that compute a signal in pieces of any length.

Each layer is a function of a piece and a state, which holds what later columns need of earlier
ones. A new signal is preceded by zeros. The whole is one piece, so both ways use the same code.

Shapes: B batch, C channels, n columns, which are points in time at the layer's own rate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from sled.codec.mel import mel_filterbank
from sled.codec.stream_state import LayerState

LOG_MEL_FLOOR = 1e-3
"""Added to magnitudes before the logarithm; white noise of this RMS level reads about so much."""


class CausalLayer(nn.Module, ABC):
    """One layer.

    Attributes:
        past: Columns of its input, before the present piece, that it reads.
    """

    past: int

    @abstractmethod
    def step(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        """Feed a piece.

        Args:
            x: [B, C, n]; n is a multiple of the layer's stride, and may be 0.
            state: What the last step returned. None: the signal begins.

        Returns:
            The columns [B, C', m] of this piece, and the new state.
        """


def with_past(x: Tensor, state: LayerState | None, past: int) -> tuple[Tensor, LayerState]:
    """A piece [B, C, n] with the columns before it, and the last `past` columns of both."""
    before = x.new_zeros(*x.shape[:2], past) if state is None else state[0].to(x.dtype)
    whole = torch.cat((before, x), -1)
    # Cloned: a view would keep the whole piece alive.
    return whole, (whole[..., whole.shape[-1] - past :].clone(),)


class CausalConv(CausalLayer):
    """A convolution that sees no later columns.

    Args:
        in_channels: Channels that go in.
        out_channels: Channels that come out.
        kernel_size: Columns, at least `stride`.
        stride: Columns.
        depthwise: Whether each channel is convolved for itself.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        groups = in_channels if depthwise else 1
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, stride, groups=groups)
        self.past = kernel_size - stride

    @override
    def step(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        whole, state = with_past(x, state, self.past)
        if x.shape[-1] == 0:
            return x.new_empty(len(x), self.conv.out_channels, 0), state
        return self.conv(whole), state


class Block(CausalLayer):
    """A causal ConvNeXt block (Liu et al., 2022; Siuzdak, 2023).

    Args:
        width: Channels.
        expansion: How many times more channels it has inside.
        kernel_size: Columns of its convolution.
        scale: Initial factor of what it adds to its input.
    """

    def __init__(self, width: int, expansion: int, kernel_size: int, scale: float) -> None:
        super().__init__()
        self.depthwise = CausalConv(width, width, kernel_size, depthwise=True)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, expansion * width)
        self.reduce = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))
        self.past = self.depthwise.past

    @override
    def step(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        y, state = self.depthwise.step(x, state)
        y = self.reduce(F.gelu(self.expand(self.norm(y.mT))))
        return x + (self.scale * y).mT, state


class ChannelNorm(CausalLayer):
    """Layer normalization of the channels of each column."""

    past = 0

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    @override
    def step(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        return self.norm(x.mT).mT, ()


class Pointwise(CausalLayer):
    """A linear map of each column; `columns` of them come out for each that goes in."""

    past = 0

    def __init__(self, in_channels: int, out_channels: int, columns: int = 1) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, columns * out_channels)
        self.columns, self.out_channels = columns, out_channels

    @override
    def step(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        y = self.linear(x.mT)
        return y.reshape(len(x), x.shape[-1] * self.columns, self.out_channels).mT, ()


class LogMel(CausalLayer):
    """Waveform [B, 1, S] to log-mel columns [B, mel_bands, S / hop]; windows end where columns do.

    Args:
        sample_rate: Hz.
        window: Samples.
        hop: Samples.
        bands: Mel bands.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, sample_rate: int, window: int, hop: int, bands: int) -> None:
        super().__init__()
        self.size, self.hop, self.past = window, hop, window - hop
        self.register_buffer("window", _hann(window), persistent=False)
        filters = mel_filterbank(sample_rate, window, bands)
        self.register_buffer("filters", filters, persistent=False)

    @override
    def step(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        whole, state = with_past(x.float(), state, self.past)
        if x.shape[-1] == 0:
            return x.new_empty(len(x), self.filters.shape[1], 0), state
        with torch.autocast(x.device.type, enabled=False):
            windows = whole[:, 0].unfold(-1, self.size, self.hop) * self.window
            spectrum = torch.view_as_real(torch.fft.rfft(windows))
            power = spectrum.square().sum(-1) / self.window.square().sum()
            log_mel = ((power + 1e-10).sqrt() @ self.filters + LOG_MEL_FLOOR).log()
            # Speech is then about between -1 and 1.
            return ((log_mel + 4.5) / 2.5).mT, state


class CausalStack(nn.Module):
    """Layers that are applied one after the other.

    Args:
        layers: The layers.
    """

    def __init__(self, layers: Sequence[CausalLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def step(self, x: Tensor, state: Sequence[LayerState]) -> tuple[Tensor, list[LayerState]]:
        """Feed a piece [B, C, n]; the state is that of each layer, empty at the beginning."""
        before: Sequence[LayerState | None] = state or [None] * len(self.layers)
        after = []
        for layer, remembered in zip(self.layers, before, strict=True):
            assert isinstance(layer, CausalLayer)
            x, new = layer.step(x, remembered)
            after.append(new)
        return x, after

    def forward(self, x: Tensor) -> Tensor:
        """A whole signal: [B, C, n] -> [B, C', m]."""
        return self.step(x, ())[0]


def _hann(size: int) -> Tensor:
    # On the processor also where a model is made without memory of its own, for loading.
    return torch.hann_window(size, device="cpu")
