"""Token channel: additional dimensions of latents that hold the token being spoken.

To continue correctly, a model must know its position in the text. From its own past audio it learns
this late in training, and only from clean recordings. With a token channel each latent has some
more dimensions, which hold a vector for the token being spoken: the model hears in its past which
tokens it has spoken, and draws the next token together with its sound. A text may repeat a token,
so a few of the dimensions distinguish neighbouring tokens by their number. The channel is dropped
before decoding. The tokens of a recorded prompt have no known times: there the channel is 0, and
training includes such beginnings.

This is the idea of text beside speech in other systems, such as the "inner monologue" of Moshi
(Défossez et al. 2024) or word tokens between acoustic ones, in a continuous space.

Shapes: T frames, D latent width without the channel, E its width, V tokens, P phases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import Self, override

from sled.codec.transforms.base import FitData, Transform

# The channel holds a token's number modulo this: enough to see where the next token begins.
NUM_PHASES = 3
# Share of a vector's squared norm.
_PHASE_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class TokenChannel(Transform):
    """The content of the channel for each token, and for each number of a token in its text.

    Attributes:
        tokens: [V, E - P] float32.
        phases: [P, P] float32, by the number modulo P.
    """

    kind: ClassVar[str] = "token-channel"

    tokens: Tensor
    phases: Tensor

    @classmethod
    @override
    def fit(
        cls, data: FitData, *, width: int = 32, norm: float = 12.0, seed: int = 0
    ) -> tuple[Self, str]:
        channel = cls.random(data.vocab_size(), width, norm, seed)
        return channel, f"{width} dimensions for the token being spoken"

    @classmethod
    def random(cls, vocab_size: int, width: int, norm: float, seed: int = 0) -> Self:
        """Tokens in random directions, which are almost orthogonal unless the width is small.

        Args:
            vocab_size: V.
            width: E, more than the number of phases.
            norm: Norm of the channel's content. The rest of a whitened latent has about sqrt(D).
            seed: Seed of the directions.

        Raises:
            ValueError: If a size is too small.
        """
        if vocab_size < 1 or width <= NUM_PHASES or norm <= 0:
            raise ValueError(
                f"a token channel of width {width} and norm {norm:g} for {vocab_size} tokens: give "
                f"a width above {NUM_PHASES}, and a norm and a vocabulary above 0"
            )
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.randn(vocab_size, width - NUM_PHASES, generator=generator)
        tokens = tokens / tokens.norm(dim=1, keepdim=True)
        return cls(
            norm * (1 - _PHASE_SHARE) ** 0.5 * tokens,
            norm * _PHASE_SHARE**0.5 * torch.eye(NUM_PHASES),
        )

    def for_tokens(self, vocab_size: int) -> Self:
        """A channel of the same width and norm for another tokenizer."""
        norm = float((self.tokens[0].square().sum() + self.phases[0].square().sum()).sqrt())
        return self.random(vocab_size, self.channel_width, norm)

    @property
    def vocab_size(self) -> int:
        """V."""
        return len(self.tokens)

    @property
    def channel_width(self) -> int:
        """E."""
        return self.tokens.shape[1] + self.phases.shape[1]

    def vectors(self, tokens: Tensor, numbers: Tensor) -> Tensor:
        """Channel content [..., E] for tokens [...] with these numbers in their text [...].

        It is 0 for token -1.
        """
        parts = (self.tokens[tokens.clamp_min(0)], self.phases[numbers % len(self.phases)])
        return torch.cat(parts, -1).masked_fill((tokens < 0)[..., None], 0)

    def write(self, units: Tensor, tokens: Tensor, numbers: Tensor) -> Tensor:
        """Units with these tokens in their channel.

        Args:
            units: [..., T, D + E].
            tokens: [..., T] ids of the tokens being spoken; -1 where that is not known, and the
                channel becomes 0.
            numbers: [..., T] numbers of these tokens in their text.
        """
        return torch.cat((self.inverse(units), self.vectors(tokens, numbers)), -1)

    @override
    def width(self, below: int) -> int:
        return below + self.channel_width

    @override
    def forward(self, units: Tensor) -> Tensor:
        """Add an empty channel: codes do not determine the token."""
        return torch.cat((units, units.new_zeros(*units.shape[:-1], self.channel_width)), -1)

    @override
    def inverse(self, units: Tensor) -> Tensor:
        return units[..., : -self.channel_width]
