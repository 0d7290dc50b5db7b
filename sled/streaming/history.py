"""The speech that the next segment continues."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from sled.streaming.voice import Voice


@dataclass(frozen=True, eq=False)
class Spoken:
    """A piece of speech: its text, and its units [T, ...]."""

    text: str
    units: Tensor


class History:
    """The voice and the latest segments, as many as fit.

    Args:
        max_frames: The most frames to continue.
        voice: The voice, which is always kept. None: no voice.
    """

    def __init__(self, max_frames: float, voice: Voice | None) -> None:
        self._max_frames = max_frames
        self._voice = None if voice is None else Spoken(f"{voice.text} ", voice.units)
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
    def is_only_voice(self) -> bool:
        """Whether there are no segments."""
        return not self._segments

    @property
    def text(self) -> str:
        """Their text."""
        return "".join(one.text for one in self.spoken)

    @property
    def units(self) -> Tensor | None:
        """Their units [T, ...]; None if there is nothing to continue."""
        spoken = self.spoken
        return torch.cat([one.units for one in spoken]) if spoken else None

    def copy(self) -> History:
        """An independent copy."""
        return copy(self)
