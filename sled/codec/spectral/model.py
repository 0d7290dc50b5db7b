"""A spectral codec behind the codec interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor
from typing_extensions import override

from sled.codec.base import Codec
from sled.codec.spectral.layers import CausalStack
from sled.codec.spectral.network import Decoder, Spectral
from sled.codec.spectral.streaming import SpectralStreamingDecoder, SpectralStreamingEncoder
from sled.files.digest import tensor_digest


class SpectralCodec(Codec):
    """A codec of continuous latents; its units are latents [D].

    There are no codebooks. Codes hold each number of a latent, rounded to one of `codebook_size`
    evenly spaced values: K is D, and the latents of codes differ from the encoder's by as much as
    this rounding.

    Args:
        model: The networks. They are moved to the device, in float32, and must not change any more.
        device: Where to run it.

    Attributes:
        new_decoder_stack: Makes the layers that decode streams; set it before the first one.
    """

    new_decoder_stack: Callable[[Decoder], CausalStack]

    def __init__(self, model: Spectral, device: str | torch.device = "cpu") -> None:
        config = model.config
        self.device = torch.device(device)
        self._model = model.to(self.device, torch.float32).eval().requires_grad_(False)
        self.sample_rate, self.hop_length = config.sampling_rate, config.hop_length
        self.unit_shape = (config.latent_size,)
        self.num_codebooks, self.codebook_size = config.latent_size, config.code_levels
        self.new_decoder_stack = lambda decoder: decoder.stack
        self._limit, self._step = config.limit, 2 * config.limit / (config.code_levels - 1)

    @property
    def networks(self) -> Spectral:
        """The networks."""
        return self._model

    @override
    def digest(self) -> str:
        tensors: dict[str, Tensor] = dict(self._model.encoder.named_parameters())
        tensors |= {"mean": self._model.mean, "deviation": self._model.deviation}
        levels = torch.tensor([self._limit, self._step])
        return tensor_digest(sorted((tensors | {"levels": levels}).items()))

    @override
    @torch.no_grad()
    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        return [self._encode_one(waveform) for waveform in waveforms]

    def _encode_one(self, waveform: Tensor) -> Tensor:
        if waveform.ndim != 1 or len(waveform) == 0:
            raise ValueError(f"a clip must be [samples], not empty; got {list(waveform.shape)}")
        with torch.autocast(self.device.type, enabled=False):
            samples = waveform.to(self.device, torch.float32)[None, None]
            return self._round(self._model.encoder(samples))[0]

    def _round(self, latents: Tensor) -> Tensor:
        """Latents [..., D, T] to codes [..., K, T]."""
        codes = ((latents + self._limit) / self._step).round().long()
        return codes.clamp(0, self.codebook_size - 1)

    @override
    @torch.no_grad()
    def codes_to_units(self, codes: Tensor) -> Tensor:
        if codes.shape[-2] != self.num_codebooks:
            raise ValueError(
                f"codes must be [..., {self.num_codebooks}, frames], got {list(codes.shape)}"
            )
        latents = codes.to(self.device) * self._step - self._limit
        return self._model.to_units(latents).mT

    @override
    @torch.no_grad()
    def units_to_codes(self, units: Tensor) -> Tensor:
        units = units.to(self.device, torch.float32)
        return self._round(self._model.to_latents(units.mT))

    @override
    def decode(self, units: Tensor, conditions: Mapping[str, Tensor] | None = None) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            units = units.to(self.device, torch.float32).mT
            audio: Tensor = self._model.decoder(self._model.to_latents(units))
            return audio.squeeze(1)

    @override
    def stream_decoder(
        self, batch_size: int = 1, conditions: Mapping[str, Tensor] | None = None
    ) -> SpectralStreamingDecoder:
        return SpectralStreamingDecoder(self._model, self._decoder_stack, batch_size)

    @cached_property
    def _decoder_stack(self) -> CausalStack:
        return self.new_decoder_stack(self._model.decoder)

    @override
    def stream_encoder(self, batch_size: int = 1) -> SpectralStreamingEncoder:
        def to_codes(outputs: Tensor) -> Tensor:
            return self._round(self._model.encoder.latents(outputs))

        return SpectralStreamingEncoder(self._model, to_codes, batch_size)
