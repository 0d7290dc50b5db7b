"""Spoken words, and the characters of the written text that they come from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_WORD = re.compile(r"\s*(?P<word>\S+)\s*|\s+")


@dataclass(frozen=True)
class SpokenWord:
    """A spoken word, or a part of one.

    Attributes:
        text: The word as the model reads it, with the gap after it. Without a gap, the next word
            continues it.
        start: Where in the input of the normalizer the written item begins that it comes from, in
            characters since the normalizer was opened. The words of one item ("$5 million") have
            the same span.
        end: Where the written item ends; white space around it does not belong to it.
    """

    text: str
    start: int
    end: int


def text_of(words: Iterable[SpokenWord]) -> str:
    """The text of spoken words."""
    return "".join(word.text for word in words)


def words_with_span(text: str, start: int, end: int) -> list[SpokenWord]:
    """Divide the spoken form of one written item into words."""
    return [SpokenWord(match[0], start, end) for match in _WORD.finditer(text)]


class Verbatim:
    """Leaves every text as it is, and returns it at once: a word may come out in parts.

    See `sled.normalization.Normalizer`.
    """

    unspoken: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._num_fed = 0

    def feed(self, piece: str) -> list[SpokenWord]:
        """Return the words of the piece, with all their white space."""
        words = []
        for match in _WORD.finditer(piece):
            span = match.span("word") if match["word"] else (match.end(), match.end())
            start, end = (self._num_fed + place for place in span)
            words.append(SpokenWord(match[0], start, end))
        self._num_fed += len(piece)
        return words

    def finish(self, *, goes_on: bool = False) -> list[SpokenWord]:
        """Return nothing more."""
        return []

    def following(self) -> Verbatim:
        """Open another one."""
        return Verbatim()
