"""The speech that the next segment continues.

Units with a token channel tell which token of the text is being said, and its number in the text.
Both change when a segment becomes the past of the next one: its text begins elsewhere, and the
silence at its end, which belonged to `</s>`, belongs to the first token of the next segment, as
pauses do in training. A model that reads the old values loses words behind the joint.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from sled.codec.transforms import TokenChannel
from sled.streaming.voice import Voice
from sled.text.incremental import IncrementalTokenizer
from sled.text.tokenizer import TextTokenizer


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


class History:
    """The voice and the latest segments, as many as fit.

    Args:
        max_frames: The most frames to continue.
        voice: The voice, which is always kept. None: no voice.
    """

    def __init__(self, max_frames: float, voice: Voice | None) -> None:
        self._max_frames = max_frames
        self._voice = None if voice is None else Spoken(f"{voice.text} ", voice.units, voice.tokens)
        self._segments: tuple[Spoken, ...] = ()

    def add(self, newest: Spoken) -> None:
        """Append a segment, and forget old ones that do not fit any more.

        Without a voice, one segment is kept even if it is too long: the next one would otherwise be
        said in another voice.
        """
        lead = 0 if self._voice is None else len(self._voice.units)
        kept = (*self._segments, newest)
        while kept and lead + sum(len(one.units) for one in kept) > self._max_frames:
            kept = kept[1:]
        if self._voice is None:
            kept = kept or self._segments or (newest,)
        self._segments = kept

    @property
    def spoken(self) -> list[Spoken]:
        """The voice and the segments, oldest first."""
        return [*([] if self._voice is None else [self._voice]), *self._segments]

    @property
    def is_prepared(self) -> bool:
        """Whether it is no more than what a voice has prepared.

        A voice whose tokens are known is read again with its channel, as the silence at its end
        belongs to the next token.
        """
        return not self._segments and (self._voice is None or self._voice.tokens is None)

    @property
    def text(self) -> str:
        """Their text."""
        return "".join(one.text for one in self.spoken)

    def units(
        self, tokenizer: TextTokenizer, channel: TokenChannel | None, next_token: int | None
    ) -> Tensor | None:
        """Their units [T, ...], with the channel that they have in one text.

        Args:
            tokenizer: Tokenizer of the model.
            channel: The units' token channel. None: they have none.
            next_token: The first token of the next segment. None: not known.

        Returns:
            The units; None if there is nothing to continue.
        """
        tokens, ids = IncrementalTokenizer(tokenizer), []
        pieces, ends = [], []
        for one in self.spoken:
            ids += tokens.feed(one.text)
            ends.append(len(ids))
        ids += [-1 if next_token is None else next_token]
        start = 1  # after <s>
        for one, end in zip(self.spoken, ends, strict=True):
            units = one.units
            if channel is not None and one.tokens is not None:
                # The tokens of the first word may be fewer without the space before it.
                at = torch.tensor([max(start, end - back) for back in one.tokens])
                spoken_ids = torch.tensor(ids)[at]
                units = channel.write(units, spoken_ids.to(units.device), at.to(units.device))
            pieces.append(units)
            start = end
        return torch.cat(pieces) if pieces else None

    def copy(self) -> History:
        """An independent copy."""
        return copy(self)
