"""The speech that the next segment continues."""

from __future__ import annotations

import math
from copy import copy

import torch
from torch import Tensor

from sled.codec.transforms import TokenChannel
from sled.streaming.spoken import Spoken
from sled.streaming.voice import Voice
from sled.text.incremental import IncrementalTokenizer
from sled.text.tokenizer import TextTokenizer


class History:
    """The voice and the latest segments, as many as fit.

    Args:
        max_frames: The most frames to continue.
        voice: The voice, which is always kept. None: no voice.
        longest: The most frames of a segment that is kept though it is too long.
    """

    def __init__(self, max_frames: float, voice: Voice | None, longest: float = math.inf) -> None:
        self._max_frames, self._longest = max_frames, longest
        self._voice = None if voice is None else voice.spoken
        self._segments: tuple[Spoken, ...] = ()

    def add(self, newest: Spoken) -> None:
        """Append a segment, and forget old ones that do not fit any more.

        Without a voice, one segment of up to `longest` frames is kept even if it is too long: the
        next one would otherwise be said in another voice.
        """
        lead = 0 if self._voice is None else len(self._voice.units)
        kept = (*self._segments, newest)
        while kept and lead + sum(len(one.units) for one in kept) > self._max_frames:
            kept = kept[1:]
        if self._voice is None and not kept:
            kept = self._segments or ((newest,) if len(newest.units) <= self._longest else ())
        self._segments = kept

    @property
    def spoken(self) -> list[Spoken]:
        """The voice and the segments, oldest first."""
        return [*([] if self._voice is None else [self._voice]), *self._segments]

    @property
    def text(self) -> str:
        """Their text."""
        return "".join(one.text for one in self.spoken)

    def feed_to(self, tokenizer: IncrementalTokenizer) -> list[int]:
        """Feed their text to a new tokenizer; returns the ids that are now certain."""
        return [token for one in self.spoken for token in one.feed_to(tokenizer)]

    @property
    def needs_next_token(self) -> bool:
        """Whether the channel of some units is that of the next segment's first token."""
        return any(one.num_final < len(one.units) for one in self.spoken[-1:])

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
            ids += one.feed_to(tokens)
            ends.append(len(ids))
        ids += [-1 if next_token is None else next_token]
        start = 1  # after <s>
        for one, end in zip(self.spoken, ends, strict=True):
            pieces.append(one.within(ids, start, end, channel))
            start = end
        return torch.cat(pieces) if pieces else None

    def copy(self) -> History:
        """An independent copy."""
        return copy(self)
