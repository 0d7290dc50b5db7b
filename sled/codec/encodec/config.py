"""The architecture of an Encodec, under the keys that transformers writes to config.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

MODEL_TYPE = "encodec"

_NORMS = ("weight_norm", "time_group_norm")


@dataclass(frozen=True, kw_only=True)
class EncodecConfig:
    """Sizes of an Encodec; the defaults are those of the published 24 kHz model.

    Attributes:
        target_bandwidths: Bit rates in kbit/s; the last determines the number of codebooks.
        sampling_rate: Hz.
        audio_channels: Channels of the waveform.
        normalize: Whether loudness is normalized. Not supported.
        chunk_length_s: Length of chunks that are coded independently. Not supported.
        overlap: Overlap of such chunks.
        hidden_size: Width of a latent, D.
        num_filters: Channels of the encoder's first convolution.
        num_residual_layers: Residual blocks per level.
        upsampling_ratios: Strides of the decoder's levels; their product is the hop length.
        norm_type: "weight_norm" or "time_group_norm".
        kernel_size: Kernel size of the first convolution of encoder and decoder.
        last_kernel_size: Kernel size of the last convolution of encoder and decoder.
        residual_kernel_size: Kernel size of the residual blocks.
        dilation_growth_rate: Factor between the dilations of a level's residual blocks.
        use_causal_conv: Whether convolutions see no later columns.
        pad_mode: How signals are padded: a mode of `torch.nn.functional.pad`.
        compress: Factor by which residual blocks are narrower inside.
        num_lstm_layers: LSTM layers of encoder and decoder.
        trim_right_ratio: Share of a transposed convolution's surplus that is cut off on the right.
        codebook_size: Entries per codebook.
        codebook_dim: Width of the entries. None: `hidden_size`.
        use_conv_shortcut: Whether the shortcut of a residual block is a convolution.
    """

    target_bandwidths: tuple[float, ...] = (1.5, 3.0, 6.0, 12.0, 24.0)
    sampling_rate: int = 24_000
    audio_channels: int = 1
    normalize: bool = False
    chunk_length_s: float | None = None
    overlap: float | None = None
    hidden_size: int = 128
    num_filters: int = 32
    num_residual_layers: int = 1
    upsampling_ratios: tuple[int, ...] = (8, 5, 4, 2)
    norm_type: str = "weight_norm"
    kernel_size: int = 7
    last_kernel_size: int = 7
    residual_kernel_size: int = 3
    dilation_growth_rate: int = 2
    use_causal_conv: bool = True
    pad_mode: str = "reflect"
    compress: int = 2
    num_lstm_layers: int = 2
    trim_right_ratio: float = 1.0
    codebook_size: int = 1024
    codebook_dim: int | None = None
    use_conv_shortcut: bool = True

    def __post_init__(self) -> None:
        if self.norm_type not in _NORMS:
            raise ValueError(f"norm_type {self.norm_type!r}: choose from {', '.join(_NORMS)}")
        if not (self.use_causal_conv or self.trim_right_ratio == 1):
            raise ValueError(
                f"trim_right_ratio {self.trim_right_ratio:g} has no meaning without causal "
                "convolutions: set it to 1"
            )
        if self.codebook_size < 1 or self.codebook_size & (self.codebook_size - 1):
            raise ValueError(f"codebook_size must be a power of two, got {self.codebook_size}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EncodecConfig:
        """Read the content of config.json; keys that do not describe the architecture are ignored.

        Raises:
            ValueError: If it describes another model, or the values make no sense.
        """
        if (model_type := values.get("model_type")) != MODEL_TYPE:
            raise ValueError(f"its model_type is {model_type!r}, not {MODEL_TYPE!r}")
        known = {key: values[key] for key in _NAMES if key in values}
        for key in ("target_bandwidths", "upsampling_ratios"):
            if key in known:
                known[key] = tuple(known[key])
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """The content of config.json, as transformers reads it."""
        values = asdict(self) | {"codebook_dim": self.codebook_dim or self.hidden_size}
        return {"architectures": ["EncodecModel"], "model_type": MODEL_TYPE, **values}

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return math.prod(self.upsampling_ratios)

    @property
    def frame_rate(self) -> int:
        """Frames per second, rounded up."""
        return math.ceil(self.sampling_rate / self.hop_length)

    @property
    def num_quantizers(self) -> int:
        """Number of codebooks, K."""
        bits = math.ceil(math.log2(self.codebook_size))
        return int(1000 * self.target_bandwidths[-1] // (self.frame_rate * bits))


_NAMES = tuple(field.name for field in fields(EncodecConfig))
