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
from sled.text.incremental import IncrementalTokenizer


@dataclass(frozen=True, eq=False)
class Spoken:
    """A piece of speech.

    Attributes:
        text: Its text.
        units: [T, ...] its units.
        tokens: The token that each unit says, counted backwards from the end of the text: 0 is what
            follows the text, 1 its last token. None: not known.
        is_apart: Whether its text is encoded by itself. Else it is one with the text behind it.
    """

    text: str
    units: Tensor
    tokens: Sequence[int] | None = None
    is_apart: bool = False

    @classmethod
    def of_recording(
        cls, text: str, units: Tensor, tokens: Sequence[int] | None, is_apart: bool
    ) -> Spoken:
        """A recording with the words in it, of which the last one is complete."""
        return cls(text if is_apart else f"{text} ", units, tokens, is_apart)

    def feed_to(self, tokenizer: IncrementalTokenizer) -> list[int]:
        """Feed its text to a tokenizer; returns the ids that are now certain."""
        ids = tokenizer.feed(self.text)
        return ids + tokenizer.divide() if self.is_apart else ids

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
