"""Speech that is continued, and the channel that it has as a part of a longer text.

Units with a token channel tell which token of the text is being said, and its number in the text.
Both change when speech becomes the past of further speech: its text may begin elsewhere, and the
silence at its end belongs to the first token of what follows, as pauses do in training. A model
that reads the old values loses words behind the joint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sled.codec.transforms import TokenChannel


@dataclass(frozen=True, eq=False)
class Spoken:
    """A piece of speech.

    Attributes:
        text: Its text.
        units: [T, ...] its units.
        tokens: The token that each unit says, counted backwards from the end of the text: 0 is what
            follows the text, 1 its last token. None: not known.
    """

    text: str
    units: Tensor
    tokens: Sequence[int] | None = None

    @property
    def num_final(self) -> int:
        """Units whose channel does not depend on what follows: all but the silence at the end."""
        return len(self.units) if self.tokens is None else sum(back > 0 for back in self.tokens)

    def within(
        self, ids: Sequence[int], start: int, end: int, channel: TokenChannel | None
    ) -> Tensor:
        """Its units [T, ...] as a part of a longer text.

        Args:
            ids: The tokens of the longer text; -1 where one is not known.
            start: The number of its first token there.
            end: The number of the first token behind it.
            channel: The units' token channel. None: they have none.
        """
        if channel is None or self.tokens is None:
            return self.units
        # The tokens of the first word may be fewer without the space before it.
        at = torch.tensor([max(start, end - back) for back in self.tokens])
        spoken_ids = torch.tensor(ids)[at]
        return channel.write(self.units, spoken_ids.to(self.units.device), at.to(self.units.device))
