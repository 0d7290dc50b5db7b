"""Where the characters of a text that was made from another one come from."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True)
class _Part:
    """A part of the made text.

    Attributes:
        made: Where it starts in the made text.
        length: Its characters.
        start: Where the characters that it comes from start in the source.
        end: Where they end.
    """

    made: int
    length: int
    start: int
    end: int

    @property
    def is_verbatim(self) -> bool:
        """Whether each character comes from one; otherwise all come from all."""
        return self.length == self.end - self.start


class OffsetMap:
    """Maps spans of a made text, which grows at its end, to spans of its source.

    The state is made of immutable values, so `copy.copy` makes a snapshot.
    """

    def __init__(self) -> None:
        self.length = 0  # of the made text so far
        self._parts: tuple[_Part, ...] = ()

    def append(self, length: int, start: int, end: int) -> None:
        """Note that the next characters come from a span of the source."""
        if not length:
            return
        part = _Part(self.length, length, start, end)
        self.length += length
        if self._parts:
            last = self._parts[-1]
            if last.is_verbatim and part.is_verbatim and last.end == start:
                part = _Part(last.made, last.length + length, last.start, end)
                self._parts = (*self._parts[:-1], part)
                return
        self._parts = (*self._parts, part)

    def source(self, start: int, end: int) -> tuple[int, int]:
        """The span of the source that a span of the made text comes from.

        Args:
            start: The first character, which has not been forgotten.
            end: The end of the span; at least `start`.
        """
        if not self._parts:
            return 0, 0
        first = self._part_of(start)
        last = self._part_of(max(start, end - 1))
        begin = first.start + (start - first.made if first.is_verbatim else 0)
        stop = last.start + (end - last.made) if last.is_verbatim else last.end
        return begin, max(begin, stop)

    def _part_of(self, place: int) -> _Part:
        index = bisect_right(self._parts, place, key=lambda part: part.made) - 1
        return self._parts[max(0, index)]

    def forget(self, place: int) -> None:
        """Drop what is before a place in the made text, which is not asked for any more."""
        index = bisect_right(self._parts, place, key=lambda part: part.made) - 1
        if index > 0:
            self._parts = self._parts[index:]
