"""Encodec (Défossez et al., 2022) behind the codec interface."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor
from typing_extensions import override

from sled.codec.base import Codec
from sled.codec.encodec.config import EncodecConfig
from sled.codec.encodec.network import Decoder, Encodec, quantize, sum_entries
from sled.codec.encodec.streaming import (
    EncodecStreamingDecoder,
    EncodecStreamingEncoder,
    StreamingNetwork,
)
from sled.files.digest import tensor_digest

PUBLISHED_NUM_CODEBOOKS = 8
"""6 kbit/s at 24 kHz. Published weights hold 32 codebooks; the rest is left unused."""


class EncodecCodec(Codec):
    """Encodec as a codec; its units are latents [D].

    The weights of the encoder and the codebooks are shared with the model, so they must not change
    any more. The decoder's are copied as far as they are normalized.

    Args:
        model: Mono model without loudness normalization or chunking, such as the 24 kHz one. Its
            weights are moved to the device, in float32.
        device: Where to run it.
        num_codebooks: Number of codebooks to use at most.

    Attributes:
        new_streaming_decoder: Makes the network that decodes streams; set it before the first one.

    Raises:
        ValueError: If the model is of another kind (48 kHz stereo Encodec, for one).
    """

    new_streaming_decoder: Callable[[Decoder, EncodecConfig], StreamingNetwork]

    def __init__(
        self,
        model: Encodec,
        device: str | torch.device = "cpu",
        num_codebooks: int = PUBLISHED_NUM_CODEBOOKS,
    ) -> None:
        config = model.config
        if config.audio_channels != 1 or config.normalize or config.chunk_length_s is not None:
            raise ValueError(
                "only mono Encodec models without normalization and chunking are supported, such "
                f"as facebook/encodec_24khz; this one has {config.audio_channels} channels, "
                f"normalize={config.normalize}, chunk_length_s={config.chunk_length_s}"
            )
        self.device = torch.device(device)
        model = model.to(self.device, torch.float32).eval().requires_grad_(False)
        self.new_streaming_decoder = StreamingNetwork
        self._config, self._encoder = config, model.encoder
        self._decoder = _folded(model.decoder)
        self._codebooks = [book.embed for book in model.quantizer.codebooks[:num_codebooks]]
        self.sample_rate = config.sampling_rate
        self.hop_length = config.hop_length
        self.unit_shape = (config.hidden_size,)
        self.num_codebooks = len(self._codebooks)
        self.codebook_size = config.codebook_size

    @property
    def latent_dim(self) -> int:
        """Width D of a latent."""
        return self.unit_shape[0]

    @override
    def digest(self) -> str:
        tensors: dict[str, Tensor] = dict(self._encoder.named_parameters())
        tensors |= {f"codebook.{number}": book for number, book in enumerate(self._codebooks)}
        return tensor_digest(sorted(tensors.items()))

    @override
    @torch.no_grad()
    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        return [self._encode_one(waveform) for waveform in waveforms]

    def _encode_one(self, waveform: Tensor) -> Tensor:
        if waveform.ndim != 1 or len(waveform) == 0:
            raise ValueError(f"a clip must be [samples], not empty; got {list(waveform.shape)}")
        with torch.autocast(self.device.type, enabled=False):
            samples = waveform.to(self.device, torch.float32)
            return self._quantize(self._encoder(samples[None, None])[0].T)

    def _quantize(self, features: Tensor) -> Tensor:
        """The encoder's output to codes, each frame for itself: [..., T, D] -> [..., K, T]."""
        with torch.autocast(self.device.type, enabled=False):
            return quantize(self._codebooks, features)

    @override
    @torch.no_grad()
    def codes_to_units(self, codes: Tensor) -> Tensor:
        if codes.shape[-2] != self.num_codebooks:
            raise ValueError(
                f"codes must be [..., {self.num_codebooks}, frames], got {list(codes.shape)}"
            )
        return sum_entries(self._codebooks, codes.to(self.device))

    @override
    @torch.no_grad()
    def units_to_codes(self, units: Tensor) -> Tensor:
        return self._quantize(units.to(self.device, torch.float32))

    @override
    def decode(self, units: Tensor, conditions: Mapping[str, Tensor] | None = None) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            features = units.to(self.device, torch.float32).transpose(1, 2)
            audio: Tensor = self._decoder(features)
            return audio.squeeze(1)

    @override
    def stream_decoder(
        self, batch_size: int = 1, conditions: Mapping[str, Tensor] | None = None
    ) -> EncodecStreamingDecoder:
        return EncodecStreamingDecoder(self._streaming_decoder, batch_size)

    @override
    def stream_encoder(self, batch_size: int = 1) -> EncodecStreamingEncoder:
        return EncodecStreamingEncoder(self._streaming_encoder, self._quantize, batch_size)

    def decoder_network(self) -> StreamingNetwork:
        """The decoder, in the plain form of its layers."""
        return StreamingNetwork(self._decoder, self._config)

    # All streams share these. They are made when the first one is asked for.
    @cached_property
    def _streaming_decoder(self) -> StreamingNetwork:
        return self.new_streaming_decoder(self._decoder, self._config)

    @cached_property
    def _streaming_encoder(self) -> StreamingNetwork:
        return StreamingNetwork(self._encoder, self._config)


def _folded(decoder: Decoder) -> Decoder:
    """A decoder with plain weights; it shares all tensors with the original but these."""
    shared = {id(x): x for x in (*decoder.parameters(), *decoder.buffers())}
    folded = copy.deepcopy(decoder, memo=dict(shared))
    folded.fold()
    return folded
