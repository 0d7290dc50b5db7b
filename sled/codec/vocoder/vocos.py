"""Vocos (Siuzdak 2023, arXiv 2306.00814): a short-time spectrum from mel frames at their own rate.

Nothing is upsampled but by the inverse Fourier transform, so that a second of speech costs a
fraction of what the other vocoder's costs. All convolutions see later frames; as a stream, each
layer waits for them. Attributes have the published tensor names.

Shapes: B batch, M mel bands, n frames, C channels, S samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self, override

from sled.codec.fourier import waves_of
from sled.codec.memory import Memory
from sled.codec.network_files import count, known
from sled.codec.vocoder.base import Vocoder
from sled.codec.vocoder.layers import Conv
from sled.codec.vocoder.overlap import overlap_add

_KERNEL = 7
_MAX_MAGNITUDE = 100.0
_EPSILON = 1e-6


@dataclass(frozen=True, kw_only=True)
class VocosSizes:
    """The sizes of the vocoder.

    Attributes:
        in_channels: M.
        dim: C.
        intermediate_dim: Channels within a block.
        num_layers: Blocks.
        n_fft: Samples of a window; a multiple of the hop.
        hop_length: Samples of a mel frame.
        sampling_rate: Hz.
    """

    in_channels: int = 80
    dim: int = 256
    intermediate_dim: int = 768
    num_layers: int = 5
    n_fft: int = 1920
    hop_length: int = 480
    sampling_rate: int = 24_000

    def __post_init__(self) -> None:
        if self.n_fft % (2 * self.hop_length):
            raise ValueError(
                f"n_fft {self.n_fft} is no multiple of twice the hop_length {self.hop_length}"
            )


class Block(nn.Module):
    """A convolution of each channel, and two linear layers (Liu et al. 2022)."""

    def __init__(self, dim: int, inner: int, scale: float) -> None:
        super().__init__()
        self.dwconv = Conv(dim, dim, _KERNEL, padding=_KERNEL // 2, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=_EPSILON)
        self.pwconv1, self.pwconv2 = nn.Linear(dim, inner), nn.Linear(inner, dim)
        self.gamma = nn.Parameter(torch.full((dim,), scale))

    def step(self, x: Tensor, memory: Memory) -> Tensor:
        """Map a piece [B, C, n] to the columns [B, C, m] that are complete."""
        y = self.dwconv.step(x, memory)
        x, y = memory.together(x, y)
        y = self.pwconv2(F.gelu(self.pwconv1(self.norm(y.mT))))
        output: Tensor = x + (self.gamma * y).mT
        return output


class Backbone(nn.Module):
    """Mel frames to states."""

    def __init__(self, sizes: VocosSizes) -> None:
        super().__init__()
        dim = sizes.dim
        self.embed = Conv(sizes.in_channels, dim, _KERNEL, padding=_KERNEL // 2)
        self.norm = nn.LayerNorm(dim, eps=_EPSILON)
        self.convnext = nn.ModuleList(
            Block(dim, sizes.intermediate_dim, 1 / sizes.num_layers)
            for _ in range(sizes.num_layers)
        )
        self.final_layer_norm = nn.LayerNorm(dim, eps=_EPSILON)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def step(self, mel: Tensor, memory: Memory) -> Tensor:
        """Map mel frames [B, M, n] to states [B, m, C]."""
        x = self.norm(self.embed.step(mel, memory).mT).mT
        for block in self.convnext:
            assert isinstance(block, Block)
            x = block.step(x, memory)
        states: Tensor = self.final_layer_norm(x.mT)
        return states


class SpectrumHead(nn.Module):
    """States to samples, by magnitudes and phases of windows."""

    def __init__(self, sizes: VocosSizes) -> None:
        super().__init__()
        self.n_fft, self.hop_length = sizes.n_fft, sizes.hop_length
        self.out = nn.Linear(sizes.dim, sizes.n_fft + 2)
        self.istft = nn.Module()
        self.istft.register_buffer("window", torch.hann_window(sizes.n_fft))

    def step(self, states: Tensor, memory: Memory) -> Tensor:
        """Map states [B, n, C] to the samples [B, S] that are complete."""
        log_magnitude, phase = self.out(states).float().chunk(2, -1)
        magnitude = log_magnitude.exp().clamp(max=_MAX_MAGNITUDE)
        window: Tensor = self.istft.get_buffer("window")
        waves = waves_of(magnitude, phase, window)
        cut = (self.n_fft - self.hop_length) // 2  # as the windows of the mel frames lie
        return overlap_add(waves, window, self.hop_length, cut, memory)


class Vocos(Vocoder):
    """The vocoder.

    Args:
        sizes: Its sizes.
    """

    KIND = "Vocos"
    sizes: VocosSizes

    def __init__(self, sizes: VocosSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.backbone = Backbone(sizes)
        self.head = SpectrumHead(sizes)
        windows = -(-(sizes.n_fft - sizes.hop_length) // (2 * sizes.hop_length))
        self.lookahead_frames = (sizes.num_layers + 1) * (_KERNEL // 2) + windows

    @property
    @override
    def hop_length(self) -> int:
        return self.sizes.hop_length

    def forward(self, mel: Tensor) -> Tensor:
        """Whole mel spectrograms [B, M, n] to waveforms [B, S]."""
        return self.step(mel, Memory.of_whole())

    @override
    def step(self, mel: Tensor, memory: Memory) -> Tensor:
        return self.head.step(self.backbone.step(mel, memory), memory)

    @override
    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Self:
        return cls(VocosSizes(**known(flat, VocosSizes)))

    @override
    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.KIND, "model_type": self.KIND, **asdict(self.sizes)}

    @override
    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        dim, mels, _ = weights["backbone.embed.weight"].shape
        n_fft = len(weights["head.istft.window"])
        return {
            "kind": cls.KIND,
            "in_channels": mels,
            "dim": dim,
            "intermediate_dim": len(weights["backbone.convnext.0.pwconv1.bias"]),
            "num_layers": count(weights, "backbone.convnext.{}.gamma"),
            "n_fft": n_fft,
            "hop_length": n_fft // 4,  # as published, and here by default
        }
