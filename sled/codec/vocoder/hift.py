"""The vocoder of CosyVoice: a generator with a harmonic source and an inverse Fourier transform.

It upsamples mel frames, adds what a source of harmonics and noise gives at each level (Wang et al.
2019), and predicts a short-time spectrum (Li et al. 2023). All convolutions see later columns; as a
stream, each layer waits for them, so that pieces joined are exactly the whole. Attributes have the
published tensor names.

Shapes: B batch, M mel bands, n frames, S samples, K harmonics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations
from typing_extensions import Self, override

from sled.codec.exact import exact_device
from sled.codec.fourier import spectrum_of, waves_of
from sled.codec.memory import Memory
from sled.codec.network_files import count, known
from sled.codec.vocoder.base import Vocoder
from sled.codec.vocoder.layers import (
    Conv,
    F0Predictor,
    ResBlock,
    Upsample,
    same_conv,
    upsample,
)
from sled.codec.vocoder.overlap import overlap_add
from sled.codec.vocoder.source import Source, fixed_phase

_MAX_MAGNITUDE = 100.0
_END_SLOPE = 0.01
# Rates and kernels of upsampling that tensors do not tell, by the published sample rate.
_PUBLISHED = {(16, 16): (22_050, (8, 8), "1"), (16, 11, 7): (24_000, (8, 5, 3), "2")}


@dataclass(frozen=True, kw_only=True)
class HiFTSizes:
    """The sizes of the vocoder; defaults as published for 24 kHz.

    Attributes:
        in_channels: M.
        base_channels: Channels before the first level; halved at each.
        nb_harmonics: K - 1.
        sampling_rate: Hz.
        nsf_alpha: Amplitude of the sines.
        nsf_sigma: Deviation of the noise in voiced sounds.
        nsf_voiced_threshold: Frequency in Hz from which sounds are voiced.
        upsample_rates: Of each level.
        upsample_kernel_sizes: Of each level.
        n_fft: Samples of a window of the spectrum.
        hop_len: Samples between two windows.
        resblock_kernel_sizes: Of the blocks whose mean is taken.
        resblock_dilation_sizes: Of each of these.
        source_resblock_kernel_sizes: Of the source's block of each level.
        source_resblock_dilation_sizes: Of each of these.
        lrelu_slope: Slope of the activation before a level.
        audio_limit: Largest magnitude of a sample.
        f0_channels: Width of the predictor of frequencies.
        sinegen: "1" or "2", see `Source`.
    """

    in_channels: int = 80
    base_channels: int = 512
    nb_harmonics: int = 8
    sampling_rate: int = 24_000
    nsf_alpha: float = 0.1
    nsf_sigma: float = 0.003
    nsf_voiced_threshold: float = 10.0
    upsample_rates: tuple[int, ...] = (8, 5, 3)
    upsample_kernel_sizes: tuple[int, ...] = (16, 11, 7)
    n_fft: int = 16
    hop_len: int = 4
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5),) * 3
    source_resblock_kernel_sizes: tuple[int, ...] = (7, 7, 11)
    source_resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5),) * 3
    lrelu_slope: float = 0.1
    audio_limit: float = 0.99
    f0_channels: int = 512
    sinegen: str = "2"

    @property
    def hop_length(self) -> int:
        """Samples of a mel frame."""
        return math.prod(self.upsample_rates) * self.hop_len


class HiFT(Vocoder):
    """The vocoder.

    Args:
        sizes: Its sizes.
    """

    KIND = "HiFTGenerator"
    sizes: HiFTSizes

    def __init__(self, sizes: HiFTSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.f0_predictor = F0Predictor(sizes.in_channels, sizes.f0_channels)
        self.m_source = Source(
            sizes.sinegen,
            sizes.sampling_rate,
            sizes.hop_length,
            sizes.nb_harmonics,
            sizes.nsf_alpha,
            sizes.nsf_sigma,
            sizes.nsf_voiced_threshold,
        )
        self.conv_pre = same_conv(sizes.in_channels, sizes.base_channels, 7)
        self.ups, self.source_downs = nn.ModuleList(), nn.ModuleList()
        self.source_resblocks, self.resblocks = nn.ModuleList(), nn.ModuleList()
        channels = sizes.base_channels
        for level, (rate, kernel) in enumerate(
            zip(sizes.upsample_rates, sizes.upsample_kernel_sizes, strict=True)
        ):
            self.ups.append(upsample(channels, channels // 2, kernel, rate))
            channels //= 2
            self.source_downs.append(
                _source_down(sizes.n_fft + 2, channels, self._source_stride(level))
            )
            self.source_resblocks.append(
                ResBlock(
                    channels,
                    sizes.source_resblock_kernel_sizes[level],
                    sizes.source_resblock_dilation_sizes[level],
                )
            )
            for size, dilations in zip(
                sizes.resblock_kernel_sizes, sizes.resblock_dilation_sizes, strict=True
            ):
                self.resblocks.append(ResBlock(channels, size, dilations))
        self.conv_post = same_conv(channels, sizes.n_fft + 2, 7)
        self.lookahead_frames = -(-self._reach() // sizes.hop_length)

    def _source_stride(self, level: int) -> int:
        return math.prod(self.sizes.upsample_rates[level + 1 :])

    def _reach(self) -> int:
        """Later samples that a sample depends on, at most."""
        sizes = self.sizes
        frame = sizes.hop_length
        # The source: five convolutions for the frequencies, half a frame, and a window.
        source = 5 * frame + frame // 2 + sizes.n_fft
        signal, column = 3 * frame, frame
        for level, (rate, kernel) in enumerate(
            zip(sizes.upsample_rates, sizes.upsample_kernel_sizes, strict=True)
        ):
            column //= rate
            signal += (kernel - rate) // 2 * column
            from_source = source + 2 * self._source_stride(level) * sizes.hop_len
            from_source += column * _block_reach(
                sizes.source_resblock_kernel_sizes[level],
                sizes.source_resblock_dilation_sizes[level],
            )
            signal = max(signal, from_source) + column * max(
                map(_block_reach, sizes.resblock_kernel_sizes, sizes.resblock_dilation_sizes)
            )
        return signal + 3 * column + sizes.n_fft

    @property
    @override
    def hop_length(self) -> int:
        """Samples of a mel frame."""
        return self.sizes.hop_length

    @property
    def num_harmonics(self) -> int:
        """K."""
        return self.sizes.nb_harmonics + 1

    def forward(
        self, mel: Tensor, phase: Tensor | None = None, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Whole mel spectrograms to sound.

        Args:
            mel: [B, M, n].
            phase: [K] or [B, K] phases at the beginning. None: always the same.
            noise: [B, K, S]. None: always the same.

        Returns:
            The waveforms [B, S], and the frequencies [B, n] in Hz.
        """
        memory = Memory.of_whole()
        f0 = self.f0_predictor.step(mel, memory)
        source = self.source(f0, memory, phase, noise)
        return self.decode(mel, source, memory), f0

    @override
    def step(self, mel: Tensor, memory: Memory) -> Tensor:
        """The samples [B, S] that a piece of a mel spectrogram [B, M, n] makes complete.

        The first piece has at least `lookahead_frames`, unless it is the last one.
        """
        f0 = self.f0_predictor.step(mel, memory)
        return self.decode(mel, self.source(f0, memory), memory)

    def source(
        self,
        f0: Tensor,
        memory: Memory,
        phase: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """The source [B, 1, S] of frequencies [B, n]; arguments as for `forward`."""
        phase = fixed_phase(self.num_harmonics) if phase is None else phase
        mixed: Tensor = self.m_source.step(f0, memory, phase.to(f0), noise)
        return mixed

    def decode(self, mel: Tensor, source: Tensor, memory: Memory) -> Tensor:
        """Mel frames [B, M, n] and a source [B, 1, S'] to samples [B, S]."""
        sizes = self.sizes
        spectrum = self._spectrum(source, memory)
        x = self.conv_pre.step(mel, memory)
        each = len(sizes.resblock_kernel_sizes)
        for level, (up, down, source_block) in enumerate(
            zip(self.ups, self.source_downs, self.source_resblocks, strict=True)
        ):
            assert isinstance(up, Upsample)
            assert isinstance(down, Conv) and isinstance(source_block, ResBlock)
            x = up.step(F.leaky_relu(x, sizes.lrelu_slope), memory)
            if level == len(self.ups) - 1 and memory.begins:
                x = F.pad(x, (1, 0), "reflect")
            x, added = memory.together(x, source_block.step(down.step(spectrum, memory), memory))
            x = x + added
            blocks = self.resblocks[level * each : (level + 1) * each]
            outputs = [block.step(x, memory) for block in blocks if isinstance(block, ResBlock)]
            x = sum(memory.together(*outputs), start=torch.zeros(())) / each
        x = self.conv_post.step(F.leaky_relu(x, _END_SLOPE), memory)
        return self._sound(x, memory).clamp(-sizes.audio_limit, sizes.audio_limit)

    def _spectrum(self, source: Tensor, memory: Memory) -> Tensor:
        """The short-time spectrum [B, n_fft + 2, columns] of a source [B, 1, S]."""
        size, hop = self.sizes.n_fft, self.sizes.hop_len
        windows = memory.windows(source, size, hop, size // 2, size // 2, "reflect")[:, 0]
        if not windows.shape[-1]:
            return source.new_zeros(len(source), size + 2, 0)
        window = torch.hann_window(size, device=source.device, dtype=source.dtype)
        return spectrum_of(windows, window, hop)

    def _sound(self, x: Tensor, memory: Memory) -> Tensor:
        """Logarithmic magnitudes and phases [B, n_fft + 2, columns] to samples [B, S]."""
        size, hop = self.sizes.n_fft, self.sizes.hop_len
        log_magnitude, phase = x.tensor_split((size // 2 + 1,), 1)
        magnitude, phase = log_magnitude.exp().clamp(max=_MAX_MAGNITUDE), phase.sin()
        window = torch.hann_window(size, device=x.device, dtype=x.dtype)
        waves = waves_of(magnitude.mT, phase.mT, window)
        return overlap_add(waves, window, hop, size // 2, memory)

    # Files.

    @override
    def for_inference(self) -> Self:
        """Prepare the vocoder for use without training.

        Lengths and directions of weights are replaced by the weights, which is faster. Frequencies
        are computed in float64: their rounding errors add up in the phases, so that in float32
        pieces would differ from the whole. If the device has no float64, they are on the CPU.
        """
        self.f0_predictor.to(exact_device(self.conv_post.weight.device)).double()
        for module in self.modules():
            if is_parametrized(module, "weight"):
                remove_parametrizations(module, "weight")
        return self

    @override
    def published_state(self) -> dict[str, Tensor]:
        """The tensors by their published names, also of a vocoder `for_inference`."""
        state = dict(self.state_dict())
        normalized = (Conv, Upsample)
        for name, module in self.named_modules():
            weight = f"{name}.weight"
            plain = name.startswith("source_downs")
            if isinstance(module, normalized) and not plain and weight in state:
                direction = state.pop(weight)
                state[f"{name}.parametrizations.weight.original0"] = direction.norm(
                    dim=(1, 2), keepdim=True
                )
                state[f"{name}.parametrizations.weight.original1"] = direction
        return {name: tensor.float() for name, tensor in state.items()}

    @override
    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Self:
        """Make a vocoder with the sizes of a `config.json`; errors as for `Flow.from_dict`."""
        spectrum, predictor = flat["istft_params"], flat["f0_predictor"]
        sizes = known(flat, HiFTSizes) | {
            "n_fft": spectrum["n_fft"],
            "hop_len": spectrum["hop_len"],
            "f0_channels": predictor["cond_channels"],
        }
        return cls(HiFTSizes(**{name: _frozen(value) for name, value in sizes.items()}))

    @override
    def to_dict(self) -> dict[str, Any]:
        """The content of `config.json`."""
        flat = asdict(self.sizes)
        spectrum = {name: flat.pop(name) for name in ("n_fft", "hop_len")}
        predictor = {
            "num_class": 1,
            "in_channels": self.sizes.in_channels,
            "cond_channels": flat.pop("f0_channels"),
        }
        kinds = {"kind": self.KIND, "model_type": self.KIND}
        return {**kinds, **flat, "istft_params": spectrum, "f0_predictor": predictor}

    @override
    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """What `from_dict` takes for published weights.

        Raises:
            KeyError: If they are not those of such a vocoder.
        """
        direction = "{}.parametrizations.weight.original1"
        levels = count(weights, direction.format("ups.{}"))
        kernels = tuple(
            weights[direction.format(f"ups.{level}")].shape[-1] for level in range(levels)
        )
        rate, rates, kind = _PUBLISHED[kernels]
        base_channels, mels, _ = weights[direction.format("conv_pre")].shape
        each = count(weights, "resblocks.{}.activations1.0.alpha") // levels

        def kernels_of(name: str, numbers: int) -> list[int]:
            inside = direction.format(name + ".{}.convs1.0")
            return [weights[inside.format(number)].shape[-1] for number in range(numbers)]

        return {
            "kind": cls.KIND,
            "in_channels": mels,
            "base_channels": base_channels,
            "nb_harmonics": weights["m_source.l_linear.weight"].shape[1] - 1,
            "sampling_rate": rate,
            "upsample_rates": rates,
            "upsample_kernel_sizes": kernels,
            "istft_params": {"n_fft": len(weights["conv_post.bias"]) - 2, "hop_len": 4},
            "resblock_kernel_sizes": kernels_of("resblocks", each),
            "resblock_dilation_sizes": [[1, 3, 5]] * each,
            "source_resblock_kernel_sizes": kernels_of("source_resblocks", levels),
            "source_resblock_dilation_sizes": [[1, 3, 5]] * levels,
            "f0_predictor": {"cond_channels": len(weights["f0_predictor.condnet.0.bias"])},
            "sinegen": kind,
        }


def _source_down(in_channels: int, channels: int, stride: int) -> Conv:
    if stride == 1:
        return Conv(in_channels, channels, 1)
    return Conv(in_channels, channels, 2 * stride, stride, padding=stride // 2)


def _block_reach(kernel_size: int, dilations: tuple[int, ...]) -> int:
    return sum((dilation + 1) * (kernel_size - 1) // 2 for dilation in dilations)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
