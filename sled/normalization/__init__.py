"""Text as it is said: numbers, abbreviations and symbols in words, before it becomes tokens.

A model's configuration (`text_normalization`) names the normalisation that the texts of its
training have passed, and whatever it is to say passes the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from sled.normalization.english import EnglishNormalizer
from sled.normalization.phonemes import phoneme_normalizer

__all__ = [
    "NORMALIZERS",
    "EnglishNormalizer",
    "Normalizer",
    "max_bytes",
    "normalize",
    "open_normalizer",
]

# How many bytes the output has for each byte of the input at most. Long numbers in phonemes come
# closest to the first, capital letters that are spelled (www) to the second.
_MAX_GROWTH = 24
_MAX_GROWTH_OF_LETTERS = 13
_LETTERS = re.compile(r"[A-Za-z'\".,;:!?()\s-]*")


class Normalizer(Protocol):
    """Normalises a text that comes in pieces.

    What comes out, joined, is the same however the text was cut. What is kept is immutable:
    `copy.copy` makes a snapshot.
    """

    @property
    def open_text(self) -> str:
        """The end of the text that has not come out yet, as it was fed but for white space."""
        ...

    def feed(self, piece: str) -> str:
        """Take the next characters; returns what no later character can change."""
        ...

    def finish(self) -> str:
        """End the text; returns the rest."""
        ...


class Verbatim:
    """Leaves every text as it is."""

    open_text = ""

    def feed(self, piece: str) -> str:
        return piece

    def finish(self) -> str:
        return ""


NORMALIZERS: dict[str | None, Callable[[], Normalizer]] = {
    None: Verbatim,
    "english": EnglishNormalizer,
    "english-phonemes": phoneme_normalizer,
}


def open_normalizer(name: str | None) -> Normalizer:
    """Begin to normalise a text.

    Args:
        name: As in a model's configuration. None: leave it as it is.

    Raises:
        ValueError: There is no such normalisation, or it needs a package that is not installed.
    """
    if name not in NORMALIZERS:
        known = ", ".join(one for one in NORMALIZERS if one)
        raise ValueError(f"text_normalization={name!r}: leave it out, or choose one of: {known}")
    return NORMALIZERS[name]()


def normalize(text: str, name: str | None) -> str:
    """A whole text, normalised as `open_normalizer(name)` does it."""
    normalizer = open_normalizer(name)
    return normalizer.feed(text) + normalizer.finish()


def max_bytes(text: str, name: str | None) -> int:
    """How many UTF-8 bytes `normalize(text, name)`, and a space behind it, have at most.

    Computing this does not normalise the text.
    """
    size = len(text.encode()) + 1
    if name is None:
        return size
    return size * (_MAX_GROWTH_OF_LETTERS if _LETTERS.fullmatch(text) else _MAX_GROWTH)
