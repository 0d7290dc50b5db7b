"""Keeps the segments of a text within their largest size, as they are spoken.

Segments are found in the written text, whose words are counted one by one. Several words together
may be said in more words than each alone (6 x 4, 10 - 3, $5 million), so what is said is counted
here once more. Only this count is exact; a segment is seldom divided for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sled.normalization import SpokenWord
from sled.text.segments import SegmentLimits


class SegmentSize:
    """Divides the words of a growing segment where the next one would exceed its largest size.

    The pause after a single word may still exceed it. The state is made of immutable values, so
    `copy.copy` makes a snapshot.

    Args:
        limits: Sizes of segments in tokens.
        token_ends: Returns where each token ends in a text that is normalised.
    """

    def __init__(self, limits: SegmentLimits, token_ends: Callable[[str], list[int]]) -> None:
        self._limits, self._token_ends = limits, token_ends
        self.start()

    def start(self) -> None:
        """Begin a new segment."""
        self._size = 0  # of all complete words
        self._open = ""  # the last word if it may go on, with the space before it

    def divide(self, words: Iterable[SpokenWord]) -> list[list[SpokenWord]]:
        """Divide the next words of the segment.

        Args:
            words: Words that do not depend on how the text was cut into pieces.

        Returns:
            Words of the open segment, then of each further one. The last one stays open.
        """
        parts: list[list[SpokenWord]] = [[]]
        for word in words:
            is_full = self._size + self._measure(self._open + word.text) > self._limits.largest
            if is_full and not any(map(str.isalnum, word.text)):
                continue  # marks alone are no segment
            if is_full:
                parts.append([])
                self.start()
                while len(ends := self._token_ends(word.text.rstrip())) > self._limits.largest:
                    place = ends[self._limits.largest - 1]
                    parts[-1].append(SpokenWord(word.text[:place], word.start, word.end))
                    parts.append([])
                    word = SpokenWord(word.text[place:], word.start, word.end)
            parts[-1].append(word)
            self._open += word.text
            if word.text[-1:].isspace():
                self._size += self._measure(self._open)
                self._open = " "
        return parts

    def _measure(self, text: str) -> int:
        """The size of a word, with the pause after it."""
        text = text.rstrip()
        return len(self._token_ends(text)) + self._limits.pauses(text)
