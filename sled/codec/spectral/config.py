"""The architecture of a spectral codec, under the keys of its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

MODEL_TYPE = "spectral_codec"

BOTTLENECKS = {"tanh": 1.0, "kl": 5.0}
"""Kinds of bottleneck, and the largest magnitude of a number in their latents."""


@dataclass(frozen=True, kw_only=True)
class SpectralConfig:
    """Sizes of a spectral codec.

    Attributes:
        sampling_rate: Hz.
        stft_window: Samples of a window of the encoder's spectrogram.
        stft_hop: Samples between two columns of a spectrogram; it divides the window. Windows of
            the decoder have two hops.
        columns_per_frame: Columns for each latent: 6, 4 and 3 give 12.5, 18.75 and 25 latents a
            second.
        mel_bands: Bands of the log-mel spectrogram that the encoder sees.
        latent_size: Width of a latent, D.
        bottleneck: "tanh": latents within (-1, 1). "kl": a Gaussian posterior, of which the mean is
            the latent.
        code_levels: Values that a number of a latent is rounded to in codes, a power of two.
        encoder_width: Channels of the encoder.
        encoder_column_blocks: Its blocks at the rate of columns.
        encoder_frame_blocks: Its blocks at the rate of latents.
        decoder_width: Channels of the decoder.
        decoder_blocks: Its blocks, at the rate of columns.
        expansion: How many times wider a block is inside.
        kernel_size: Columns that a block sees, the present one and earlier ones.
        lookahead_frames: Later latents that the samples of a latent depend on.
    """

    sampling_rate: int = 24_000
    stft_window: int = 1280
    stft_hop: int = 320
    columns_per_frame: int = 4
    mel_bands: int = 100
    latent_size: int = 64
    bottleneck: str = "tanh"
    code_levels: int = 256
    encoder_width: int = 256
    encoder_column_blocks: int = 3
    encoder_frame_blocks: int = 4
    decoder_width: int = 384
    decoder_blocks: int = 6
    expansion: int = 3
    kernel_size: int = 7
    lookahead_frames: int = 2

    def __post_init__(self) -> None:
        if self.bottleneck not in BOTTLENECKS:
            raise ValueError(
                f"bottleneck {self.bottleneck!r}: choose from {', '.join(BOTTLENECKS)}"
            )
        for field in fields(self):
            value, least = getattr(self, field.name), 0 if field.name.endswith("blocks") else 1
            if field.name != "bottleneck" and (type(value) is not int or value < least):
                raise ValueError(f"{field.name} must be an integer from {least}, got {value!r}")
        if self.stft_window % self.stft_hop:
            raise ValueError(
                f"stft_window {self.stft_window} must be a multiple of stft_hop {self.stft_hop}"
            )
        if self.code_levels < 2 or self.code_levels & (self.code_levels - 1):
            raise ValueError(f"code_levels must be a power of two, got {self.code_levels}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SpectralConfig:
        """Read the content of config.json; keys that do not describe the architecture are ignored.

        Raises:
            ValueError: If it describes another model, or the values make no sense.
        """
        if (model_type := values.get("model_type")) != MODEL_TYPE:
            raise ValueError(f"its model_type is {model_type!r}, not {MODEL_TYPE!r}")
        names = [field.name for field in fields(cls)]
        return cls(**{name: values[name] for name in names if name in values})

    def to_dict(self) -> dict[str, Any]:
        """The content of config.json."""
        return {"model_type": MODEL_TYPE, **asdict(self)}

    @property
    def hop_length(self) -> int:
        """Samples per latent."""
        return self.columns_per_frame * self.stft_hop

    @property
    def limit(self) -> float:
        """Largest magnitude of a number in a latent, before latents are standardized."""
        return BOTTLENECKS[self.bottleneck]
