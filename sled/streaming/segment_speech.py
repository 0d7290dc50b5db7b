"""The segment that is being said: the text that the decoder has, and the units that came of it.

Shapes: T frames; `...` is the shape of a unit.
"""

from __future__ import annotations

from copy import copy

import torch
from torch import Tensor

from sled.streaming.spoken import Spoken
from sled.text.incremental import IncrementalTokenizer


class SegmentSpeech:
    """Text and units of a segment; both grow while it is said.

    Args:
        tokens: Tokenizes its text; it has taken the text of the speech that the segment continues.

    Attributes:
        text: Its text, as far as the decoder has it.
        units: Its units.
    """

    def __init__(self, tokens: IncrementalTokenizer) -> None:
        self._tokens = tokens
        self.text = ""
        self.units: list[Tensor] = []
        self._unit_tokens: list[int] = []  # the token that each unit says, by its number

    def add_text(self, text: str, *, ended: bool) -> list[int]:
        """Append text; returns the token ids that are now certain.

        Args:
            text: More of its text.
            ended: Whether the text is then complete.
        """
        self.text += text
        token_ids = self._tokens.feed(text)
        return token_ids + self._tokens.finish() if ended else token_ids

    def add_unit(self, unit: Tensor, token: int | None) -> None:
        """Append the unit [...] of the next frame.

        Args:
            unit: The unit.
            token: The token that it says, by its number in the text that the model reads. None: the
                speech is not tracked.
        """
        self.units.append(unit)
        if token is not None:
            self._unit_tokens.append(token)

    @property
    def open_text(self) -> str:
        """The end of its text, whose tokens are not certain yet."""
        return self._tokens.open_text

    def spoken(self, num_tokens: int) -> Spoken:
        """The segment after it has been said, to be continued by the next one.

        Args:
            num_tokens: Tokens of the text that the model has read, `</s>` left out.
        """
        tokens = [num_tokens - token for token in self._unit_tokens]
        is_tracked = len(tokens) == len(self.units)
        return Spoken(self.text, torch.stack(self.units), tokens if is_tracked else None)

    def copy(self) -> SegmentSpeech:
        """An independent copy."""
        other = copy(self)
        other._tokens = copy(self._tokens)
        other.units, other._unit_tokens = list(self.units), list(self._unit_tokens)
        return other
