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
        verbatim: Whether each character comes from one; otherwise all come from all.
    """

    made: int
    length: int
    start: int
    end: int
    verbatim: bool


class OffsetMap:
    """Maps spans of a made text, which grows at its end, to spans of its source.

    The state is made of immutable values, so `copy.copy` makes a snapshot.

    Attributes:
        length: Characters of the made text so far.
    """

    def __init__(self) -> None:
        self.length = 0
        self._parts: tuple[_Part, ...] = ()

    def append(self, length: int, start: int, end: int, *, verbatim: bool = True) -> None:
        """Note where the next characters of the made text come from.

        Args:
            length: How many they are.
            start: The start of the span of the source.
            end: Its end.
            verbatim: Whether each character comes from one, if there are as many.
        """
        if not length:
            return
        verbatim = verbatim and length == end - start
        last = self._parts[-1] if self._parts else None
        if last is not None and verbatim and last.verbatim and last.end == start:
            longer = _Part(last.made, last.length + length, last.start, end, True)
            self._parts = (*self._parts[:-1], longer)
        else:
            self._parts = (*self._parts, _Part(self.length, length, start, end, verbatim))
        self.length += length

    def source(self, start: int, end: int) -> tuple[int, int]:
        """The span of the source that a span of the made text comes from.

        Args:
            start: The start of the span, which has not been forgotten.
            end: Its end, at least `start`.
        """
        if not self._parts:
            return 0, 0
        first, last = self._part_at(start), self._part_at(max(start, end - 1))
        begin = first.start + min(start - first.made, first.length) * first.verbatim
        stop = last.start + (end - last.made) if last.verbatim else last.end
        return begin, max(begin, min(stop, last.end))

    def forget(self, offset: int) -> None:
        """Drop what is before a character of the made text, which is not asked for any more."""
        index = self._index(offset)
        self._parts = self._parts[index:] if index else self._parts

    def _part_at(self, offset: int) -> _Part:
        return self._parts[self._index(offset)]

    def _index(self, offset: int) -> int:
        return max(0, bisect_right(self._parts, offset, key=lambda part: part.made) - 1)
