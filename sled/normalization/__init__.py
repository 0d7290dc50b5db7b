"""Text normalisation: numbers, abbreviations and symbols in words, before text becomes tokens.

A model's configuration (`text_normalization`) names the normalisation of its training texts.
Everything that the model speaks is normalised in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from sled.normalization.digits import DigitsNormalizer
from sled.normalization.english import EnglishNormalizer
from sled.normalization.phonemes import phoneme_normalizer
from sled.normalization.spoken import SpokenWord, text_of

__all__ = [
    "NORMALIZERS",
    "EnglishNormalizer",
    "Normalizer",
    "SpokenWord",
    "max_bytes",
    "normalize",
    "open_normalizer",
    "text_of",
]

# How many bytes the output has for each byte of the input at most. Long numbers in phonemes come
# closest to the first, capital letters that are spelled (www) to the second.
_MAX_GROWTH = 24
_MAX_GROWTH_OF_LETTERS = 13
_WORD = re.compile(r"\s*(?P<word>\S+)\s*|\s+")
_LETTERS = re.compile(r"[A-Za-z'\".,;:!?()\s-]*")


class Normalizer(Protocol):
    """Normalises a text that comes in pieces.

    The joined output does not depend on how the text was cut into pieces. The spans of the words
    are ordered, and cover every character that is said. The state is made of immutable values, so
    `copy.copy` makes a snapshot.
    """

    @property
    def open_text(self) -> str:
        """The end of the input that has no output yet; white space may differ from the input."""
        ...

    def feed(self, piece: str) -> list[SpokenWord]:
        """Take the next characters; returns the output that no later character can change."""
        ...

    def finish(self) -> list[SpokenWord]:
        """End the text; returns the rest of the output."""
        ...


class Verbatim:
    """Leaves every text as it is, and returns it at once: a word may come out in parts."""

    open_text = ""

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

    def finish(self) -> list[SpokenWord]:
        """Return nothing more."""
        return []


NORMALIZERS: dict[str | None, Callable[[], Normalizer]] = {
    None: Verbatim,
    "digits": DigitsNormalizer,
    "english": EnglishNormalizer,
    "english-phonemes": phoneme_normalizer,
}


def open_normalizer(name: str | None) -> Normalizer:
    """Open a normalizer for one text.

    Args:
        name: The normalisation, as in a model's configuration. None: leave the text as it is.

    Raises:
        ValueError: There is no such normalisation.
    """
    if name not in NORMALIZERS:
        known = ", ".join(one for one in NORMALIZERS if one)
        raise ValueError(f"text_normalization={name!r}: leave it out, or choose one of: {known}")
    return NORMALIZERS[name]()


def normalize(text: str, name: str | None) -> str:
    """Normalise a whole text as `open_normalizer(name)` does."""
    normalizer = open_normalizer(name)
    return text_of(normalizer.feed(text) + normalizer.finish())


def max_bytes(text: str, name: str | None) -> int:
    """How many UTF-8 bytes `normalize(text, name)`, and a space behind it, have at most.

    Computing this does not normalise the text.
    """
    size = len(text.encode()) + 1
    if name is None:
        return size
    return size * (_MAX_GROWTH_OF_LETTERS if _LETTERS.fullmatch(text) else _MAX_GROWTH)
