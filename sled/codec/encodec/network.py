"""The networks of Encodec (Défossez et al., 2022) for whole signals: encoder, decoder, quantizer.

Their tensors have the names that transformers' `EncodecModel` gives them. New networks are not
initialized: their weights are to be loaded.

Shapes: B batch, C channels, n columns (points in time at a layer's own rate), D latent width,
K codebooks, T frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from sled.codec.encodec.config import EncodecConfig


class _NormedWeight(nn.Module):
    """A weight in the parametrization of weight normalization: direction and gain."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.original0 = nn.Parameter(torch.empty(shape[0], 1, 1))
        self.original1 = nn.Parameter(torch.empty(shape))

    def forward(self) -> Tensor:
        return torch._weight_norm(self.original1, self.original0, 0)


class Kernel(nn.Module):
    """Weight and bias of a convolution; the weight is normalized in each use, or is plain.

    Args:
        out_channels: Channels that come out.
        shape: Shape of the weight.
        normalized: Whether the weight is kept as direction and gain.
    """

    bias: nn.Parameter
    weight: nn.Parameter

    def __init__(self, out_channels: int, shape: Sequence[int], normalized: bool) -> None:
        super().__init__()
        if normalized:
            self.parametrizations = nn.ModuleDict({"weight": _NormedWeight(*shape)})
        else:
            self.weight = nn.Parameter(torch.empty(*shape))
        self.bias = nn.Parameter(torch.empty(out_channels))

    @property
    def normalized(self) -> bool:
        """Whether the weight is kept as direction and gain."""
        return "parametrizations" in self._modules

    def effective_weight(self) -> Tensor:
        """The weight to convolve with."""
        if self.normalized:
            return cast(Tensor, self.parametrizations["weight"]())
        return self.weight

    def fold(self) -> None:
        """Replace direction and gain by the weight that they give."""
        if self.normalized:
            weight = self.effective_weight().detach()
            del self.parametrizations
            self.weight = nn.Parameter(weight, requires_grad=False)


class Conv(nn.Module):
    """A convolution whose output has a column for each `stride` columns of the input.

    Args:
        config: Architecture.
        in_channels: Channels that go in.
        out_channels: Channels that come out.
        kernel_size: Columns.
        stride: Columns.
        dilation: Columns.
    """

    def __init__(
        self,
        config: EncodecConfig,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.stride, self.dilation = stride, dilation
        self.causal, self.pad_mode = config.use_causal_conv, config.pad_mode
        self.span = (kernel_size - 1) * dilation + 1
        self.padding = self.span - stride
        shape = (out_channels, in_channels, kernel_size)
        self.conv = Kernel(out_channels, shape, config.norm_type == "weight_norm")
        self.norm = _group_norm(config, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, n] -> [B, C', n / stride rounded up]."""
        missing = -x.shape[-1] % self.stride
        right = 0 if self.causal else self.padding // 2
        x = _pad(x, self.padding - right, right + missing, self.pad_mode)
        weight = self.conv.effective_weight()
        x = F.conv1d(x, weight, self.conv.bias, self.stride, 0, self.dilation)
        return x if self.norm is None else cast(Tensor, self.norm(x))


class ConvTranspose(nn.Module):
    """A transposed convolution whose output has `stride` columns for each column of the input.

    Args:
        config: Architecture.
        in_channels: Channels that go in.
        out_channels: Channels that come out.
        kernel_size: Columns.
        stride: Columns.
    """

    def __init__(
        self,
        config: EncodecConfig,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.surplus = kernel_size - stride
        share = config.trim_right_ratio if config.use_causal_conv else 0.5
        trimmed = self.surplus * share
        self.trimmed_right = math.ceil(trimmed) if config.use_causal_conv else int(trimmed)
        self.trimmed_left = self.surplus - self.trimmed_right
        shape = (in_channels, out_channels, kernel_size)
        self.conv = Kernel(out_channels, shape, config.norm_type == "weight_norm")
        self.norm = _group_norm(config, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, n] -> [B, C', n * stride]."""
        weight = self.conv.effective_weight()
        x = F.conv_transpose1d(x, weight, self.conv.bias, self.stride)
        if self.norm is not None:
            x = self.norm(x)
        return x[..., self.trimmed_left : x.shape[-1] - self.trimmed_right]


class _UninitializedLstm(nn.LSTM):
    @override
    def reset_parameters(self) -> None:
        """Leave the weights as they are: loading must not draw random numbers."""


class Lstm(nn.Module):
    """LSTM layers with a skip connection."""

    def __init__(self, config: EncodecConfig, channels: int) -> None:
        super().__init__()
        self.lstm = _UninitializedLstm(channels, channels, config.num_lstm_layers)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, n] -> [B, C, n]."""
        columns = x.permute(2, 0, 1)
        return cast(Tensor, self.lstm(columns)[0] + columns).permute(1, 2, 0)


class ResidualBlock(nn.Module):
    """Two convolutions, the second of single columns, beside a shortcut."""

    def __init__(self, config: EncodecConfig, channels: int, dilation: int) -> None:
        super().__init__()
        hidden = channels // config.compress
        self.block = nn.ModuleList(
            [
                nn.ELU(),
                Conv(config, channels, hidden, config.residual_kernel_size, dilation=dilation),
                nn.ELU(),
                Conv(config, hidden, channels, 1),
            ]
        )
        self.shortcut = Conv(config, channels, channels, 1) if config.use_conv_shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, n] -> [B, C, n]."""
        y = x
        for layer in self.block:
            y = layer(y)
        return (x if self.shortcut is None else self.shortcut(x)) + y


class Layers(nn.Module):
    """Layers that are applied one after the other: an encoder or a decoder.

    Args:
        layers: The layers.
        in_channels: Channels that go in.
        out_channels: Channels that come out.
    """

    def __init__(self, layers: Sequence[nn.Module], in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.in_channels, self.out_channels = in_channels, out_channels

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, n] -> [B, C', n']."""
        for layer in self.layers:
            x = layer(x)
        return x

    def fold(self) -> None:
        """Replace all normalized weights by plain ones; training is not possible any more."""
        for module in self.modules():
            if isinstance(module, Kernel):
                module.fold()


class Encoder(Layers):
    """Waveforms [B, 1, S] to features [B, D, T]."""

    def __init__(self, config: EncodecConfig) -> None:
        channels = config.num_filters
        layers: list[nn.Module] = [
            Conv(config, config.audio_channels, channels, config.kernel_size)
        ]
        for ratio in reversed(config.upsampling_ratios):
            layers += _residual_blocks(config, channels)
            layers += [nn.ELU(), Conv(config, channels, 2 * channels, 2 * ratio, ratio)]
            channels *= 2
        layers += [Lstm(config, channels), nn.ELU()]
        layers += [Conv(config, channels, config.hidden_size, config.last_kernel_size)]
        super().__init__(layers, config.audio_channels, config.hidden_size)


class Decoder(Layers):
    """Latents [B, D, T] to waveforms [B, 1, S]."""

    def __init__(self, config: EncodecConfig) -> None:
        channels = config.num_filters * 2 ** len(config.upsampling_ratios)
        layers: list[nn.Module] = [Conv(config, config.hidden_size, channels, config.kernel_size)]
        layers += [Lstm(config, channels)]
        for ratio in config.upsampling_ratios:
            half = channels // 2
            layers += [nn.ELU(), ConvTranspose(config, channels, half, 2 * ratio, ratio)]
            layers += _residual_blocks(config, half)
            channels = half
        last = Conv(config, channels, config.audio_channels, config.last_kernel_size)
        super().__init__([*layers, nn.ELU(), last], config.hidden_size, config.audio_channels)


class Codebook(nn.Module):
    """Vectors, of which the nearest stands for a given one.

    Attributes:
        embed: [N, D] the entries.
        embed_avg: [N, D] moving sum of the vectors assigned to each; only training uses it.
        cluster_size: [N] moving number of these.
        inited: [1] whether the entries have been set.
    """

    embed: Tensor
    embed_avg: Tensor
    cluster_size: Tensor
    inited: Tensor

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        shape = (config.codebook_size, config.codebook_dim or config.hidden_size)
        self.register_buffer("inited", torch.empty(1))
        self.register_buffer("cluster_size", torch.empty(shape[0]))
        self.register_buffer("embed", torch.empty(shape))
        self.register_buffer("embed_avg", torch.empty(shape))

    def encode(self, vectors: Tensor) -> Tensor:
        """Numbers of the nearest entries: [..., D] -> int64 [...]."""
        return nearest(self.embed, vectors)

    def decode(self, codes: Tensor) -> Tensor:
        """Entries: int64 [...] -> [..., D]."""
        return F.embedding(codes, self.embed)


class _QuantizerLevel(nn.Module):
    """One level of the quantizer; it exists for the names of its tensors."""

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        self.codebook = Codebook(config)


class Quantizer(nn.Module):
    """Residual vector quantization: each codebook codes what the ones before it have missed."""

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        levels = [_QuantizerLevel(config) for _ in range(config.num_quantizers)]
        self.layers = nn.ModuleList(levels)

    @property
    def codebooks(self) -> list[Codebook]:
        """The codebook of each level."""
        return [cast(_QuantizerLevel, level).codebook for level in self.layers]

    def encode(self, features: Tensor) -> Tensor:
        """Features [B, D, T] to int64 codes [K, B, T]."""
        return quantize([book.embed for book in self.codebooks], features.mT).movedim(-2, 0)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [K, B, T], or those of fewer codebooks, to latents [B, D, T]."""
        books = self.codebooks[: len(codes)]
        return sum_entries([book.embed for book in books], codes.movedim(0, -2)).mT


class Encodec(nn.Module):
    """Encoder, quantizer and decoder, whose tensors are those of transformers' `EncodecModel`.

    Args:
        config: Architecture.
    """

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quantizer = Quantizer(config)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device


def nearest(entries: Tensor, vectors: Tensor) -> Tensor:
    """Numbers of the nearest entries [N, D] for vectors [..., D]: int64 [...]."""
    flat = vectors.reshape(-1, vectors.shape[-1])
    transposed = entries.t()
    # The squared distance, expanded, which is one matrix product.
    distance = (
        flat.pow(2).sum(1, keepdim=True)
        - 2 * flat @ transposed
        + transposed.pow(2).sum(0, keepdim=True)
    )
    return (-distance).max(dim=-1).indices.view(vectors.shape[:-1])


def quantize(codebooks: Sequence[Tensor], features: Tensor) -> Tensor:
    """Codes of features, each frame for itself: [..., T, D] -> int64 [..., K, T].

    Args:
        codebooks: Entries [N, D] of each of K codebooks.
        features: Output of the encoder.
    """
    residual, codes = features, []
    for entries in codebooks:
        codes.append(nearest(entries, residual))
        residual = residual - F.embedding(codes[-1], entries)
    return torch.stack(codes, -2)


def sum_entries(codebooks: Sequence[Tensor], codes: Tensor) -> Tensor:
    """Sums of codebook entries: int64 [..., K, T] -> [..., T, D]."""
    latents = torch.zeros((), device=codes.device)
    # In the order of the published implementation, which gives its rounding.
    for level, entries in enumerate(codebooks):
        latents = latents + F.embedding(codes[..., level, :], entries)
    return latents


def _residual_blocks(config: EncodecConfig, channels: int) -> list[nn.Module]:
    return [
        ResidualBlock(config, channels, config.dilation_growth_rate**number)
        for number in range(config.num_residual_layers)
    ]


def _group_norm(config: EncodecConfig, channels: int) -> nn.GroupNorm | None:
    return nn.GroupNorm(1, channels) if config.norm_type == "time_group_norm" else None


def _pad(x: Tensor, left: int, right: int, mode: str) -> Tensor:
    """Pad columns; a mirror image that is longer than the signal mirrors zeros after it."""
    missing = max(left, right) + 1 - x.shape[-1]
    if mode != "reflect" or missing <= 0:
        return F.pad(x, (left, right), mode)
    return F.pad(F.pad(x, (0, missing)), (left, right), mode)[..., :-missing]
