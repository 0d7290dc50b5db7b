"""Latents that also tell which token of the text is being said.

A model that shall read on must know where in its text it is. From the sound of its own past it
learns that late, and only from clear recordings. So the latents are given a channel, some
dimensions more, that hold a vector for the token that is being said: what a model hears of its past
tells it what it has said, and drawing the next latent it decides on the token together with its
sound. The channel is dropped before decoding. Of a recorded prompt nobody knows when its tokens are
said: there the channel is 0, and training shows such beginnings too.

The idea is that of text beside speech in other systems, as the "inner monologue" of Moshi (Défossez
et al. 2024) or word tokens between acoustic ones, in a continuous space.

Shapes: B batch, T frames, K codebooks, D latent width without the channel, E its width, V tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sled.codec.base import Codec, StreamingEncoder
from sled.codec.mapped import MappedStreamingDecoder

CHANNEL_FILE = "token_channel.safetensors"


@dataclass(frozen=True, eq=False)
class TokenChannel:
    """A vector for each token.

    Attributes:
        vectors: [V, E] float32.
    """

    vectors: Tensor

    @classmethod
    def random(cls, vocab_size: int, width: int, norm: float, seed: int = 0) -> TokenChannel:
        """Vectors in random directions: almost orthogonal, if the width is not small.

        Args:
            vocab_size: V.
            width: E.
            norm: Of each vector. The other latents of a frame have one of about sqrt(D).
            seed: Of the directions.

        Raises:
            ValueError: If a size is not above 0.
        """
        if vocab_size < 1 or width < 1 or norm <= 0:
            raise ValueError(
                f"a channel of width {width} and norm {norm:g} for {vocab_size} tokens: "
                "all must be above 0"
            )
        generator = torch.Generator().manual_seed(seed)
        directions = torch.randn(vocab_size, width, generator=generator)
        return cls(directions / directions.norm(dim=1, keepdim=True) * norm)

    @classmethod
    def load(cls, path: Path) -> TokenChannel:
        """What `save` wrote.

        Raises:
            ValueError: If it cannot be read.
        """
        try:
            return cls(load_file(path)["vectors"])
        except (SafetensorError, KeyError) as error:
            raise ValueError(
                f"{path} is no token channel ({error}): make or copy it again"
            ) from error

    def save(self, folder: Path) -> None:
        """Write `token_channel.safetensors` into a codec's folder."""
        save_file({"vectors": self.vectors}, folder / CHANNEL_FILE, metadata={"format": "pt"})


class TokenChannelCodec(Codec):
    """A codec whose latents, [..., D + E] wide, have a token channel; its codes are as before.

    Args:
        codec: Whose latents.
        channel: What the channel holds for each token.
    """

    def __init__(self, codec: Codec, channel: TokenChannel) -> None:
        self._codec, self._vectors = codec, channel.vectors.to(codec.device)
        self.channel_width = channel.vectors.shape[1]
        self.sample_rate, self.device = codec.sample_rate, codec.device
        self.hop_length, self.latent_dim = codec.hop_length, codec.latent_dim + self.channel_width
        self.frames_per_latent = codec.frames_per_latent
        self.num_codebooks, self.codebook_size = codec.num_codebooks, codec.codebook_size

    @property
    def vocab_size(self) -> int:
        """Tokens that have a vector, V."""
        return len(self._vectors)

    @property
    def stored(self) -> Codec:
        return self._codec.stored

    def digest(self) -> str:
        return self._codec.digest()

    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        return self._codec.encode(waveforms)

    def codes_to_latents(self, codes: Tensor) -> Tensor:
        """Latents whose channel is 0: codes do not tell what is said."""
        latents = self._codec.codes_to_latents(codes)
        return torch.cat((latents, latents.new_zeros(*latents.shape[:-1], self.channel_width)), -1)

    def tell(self, latents: Tensor, tokens: Tensor) -> Tensor:
        """Latents [..., T, D + E] with tokens [..., T] in the channel; 0 where they are -1."""
        vectors = self._vectors[tokens.clamp_min(0)] * (tokens >= 0)[..., None]
        return torch.cat((self.restore(latents), vectors), -1)

    def restore(self, latents: Tensor) -> Tensor:
        """Latents without the channel, [..., D]."""
        return latents[..., : -self.channel_width]

    def decode(self, latents: Tensor) -> Tensor:
        return self._codec.decode(self.restore(latents))

    def stream_decoder(self, batch_size: int = 1) -> MappedStreamingDecoder:
        stream = self._codec.stream_decoder(batch_size)
        return MappedStreamingDecoder(stream, self.restore, self.latent_dim)

    def stream_encoder(self, batch_size: int = 1) -> StreamingEncoder:
        return self._codec.stream_encoder(batch_size)
