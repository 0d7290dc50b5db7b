"""Latents that also tell which token of the text is being said.

A model that shall read on must know where in its text it is. From the sound of its own past it
learns that late, and only from clear recordings. So the latents are given a channel, some
dimensions more, that hold a vector for the token that is being said: what a model hears of its past
tells it what it has said, and drawing the next latent it decides on the token together with its
sound. A text may say a token twice in a row, so a few dimensions tell neighbours apart. The channel
is dropped before decoding. Of a recorded prompt nobody knows when its tokens are said: there the
channel is 0, and training shows such beginnings too.

The idea is that of text beside speech in other systems, as the "inner monologue" of Moshi (Défossez
et al. 2024) or word tokens between acoustic ones, in a continuous space.

Shapes: T frames, D latent width without the channel, E its width, V tokens, P phases.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sled.codec.base import Codec
from sled.codec.transforms.base import CodecView, StoredTensors

# Numbers of tokens are told modulo this: enough to see that the next one has begun.
NUM_PHASES = 3
# Of a vector's squared norm.
_PHASE_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class TokenChannel(StoredTensors):
    """What the channel holds for each token, and each number that it may have in its text.

    Attributes:
        tokens: [V, E - P] float32.
        phases: [P, P] float32, by the number modulo P.
    """

    kind = "token channel"

    tokens: Tensor
    phases: Tensor

    @property
    def vocab_size(self) -> int:
        """V."""
        return len(self.tokens)

    @property
    def width(self) -> int:
        """E."""
        return self.tokens.shape[1] + self.phases.shape[1]

    @classmethod
    def random(cls, vocab_size: int, width: int, norm: float, seed: int = 0) -> TokenChannel:
        """Tokens in random directions: almost orthogonal, if the width is not small.

        Args:
            vocab_size: V.
            width: E, more than the number of phases.
            norm: Of what the channel holds. The other latents of a frame have one of about sqrt(D).
            seed: Of the directions.

        Raises:
            ValueError: If a size is too small.
        """
        if vocab_size < 1 or width <= NUM_PHASES or norm <= 0:
            raise ValueError(
                f"a channel of width {width} and norm {norm:g} for {vocab_size} tokens: give a "
                f"width above {NUM_PHASES}, and a norm and a vocabulary above 0"
            )
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.randn(vocab_size, width - NUM_PHASES, generator=generator)
        tokens = tokens / tokens.norm(dim=1, keepdim=True)
        return cls(
            norm * (1 - _PHASE_SHARE) ** 0.5 * tokens,
            norm * _PHASE_SHARE**0.5 * torch.eye(NUM_PHASES),
        )

    def vectors(self, tokens: Tensor, numbers: Tensor) -> Tensor:
        """[..., E] for tokens [...], their numbers in their text [...]; 0 for token -1."""
        parts = (self.tokens[tokens.clamp_min(0)], self.phases[numbers % len(self.phases)])
        return torch.cat(parts, -1).masked_fill((tokens < 0)[..., None], 0)


class TokenChannelCodec(CodecView):
    """A codec whose latents, [..., D + E] wide, have a token channel; its codes are as before.

    Args:
        codec: Whose latents.
        channel: What the channel holds for each token.
    """

    def __init__(self, codec: Codec, channel: TokenChannel) -> None:
        super().__init__(codec, codec.latent_dim + channel.width)
        self.channel = channel.to(codec.device)

    def codes_to_latents(self, codes: Tensor) -> Tensor:
        """Latents whose channel is 0: codes do not tell what is said."""
        latents = self._codec.codes_to_latents(codes)
        return torch.cat((latents, latents.new_zeros(*latents.shape[:-1], self.channel.width)), -1)

    def tell(self, latents: Tensor, tokens: Tensor, numbers: Tensor) -> Tensor:
        """Latents with the tokens being said in their channel.

        Args:
            latents: [..., T, D + E].
            tokens: [..., T] ids; -1 where it is not known, and the channel becomes 0.
            numbers: [..., T] of these tokens in their text.
        """
        return torch.cat((self.restore(latents), self.channel.vectors(tokens, numbers)), -1)

    def restore(self, latents: Tensor) -> Tensor:
        return latents[..., : -self.channel.width]
