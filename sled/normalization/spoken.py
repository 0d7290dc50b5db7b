"""Spoken words, and the characters of the written text that they come from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_WORD = re.compile(r"\s*\S+\s*|\s+")


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
    return [SpokenWord(word, start, end) for word in _WORD.findall(text)]
