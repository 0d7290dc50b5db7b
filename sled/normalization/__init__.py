"""Text normalisation: numbers, abbreviations and symbols in words, before text becomes tokens.

A model's configuration (`text_normalization`) names the normalisation of its training texts.
Everything that the model speaks is normalised in the same way.
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

    The joined output does not depend on how the text was cut into pieces. The state is made of
    immutable values, so `copy.copy` makes a snapshot.
    """

    @property
    def open_text(self) -> str:
        """The end of the input that has no output yet; white space may differ from the input."""
        ...

    def feed(self, piece: str) -> str:
        """Take the next characters; returns the output that no later character can change."""
        ...

    def finish(self) -> str:
        """End the text; returns the rest of the output."""
        ...


class Verbatim:
    """Leaves every text as it is."""

    open_text = ""

    def feed(self, piece: str) -> str:
        """Return the piece."""
        return piece

    def finish(self) -> str:
        """Return nothing more."""
        return ""


NORMALIZERS: dict[str | None, Callable[[], Normalizer]] = {
    None: Verbatim,
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
    return normalizer.feed(text) + normalizer.finish()


def max_bytes(text: str, name: str | None) -> int:
    """How many UTF-8 bytes `normalize(text, name)`, and a space behind it, have at most.

    Computing this does not normalise the text.
    """
    size = len(text.encode()) + 1
    if name is None:
        return size
    return size * (_MAX_GROWTH_OF_LETTERS if _LETTERS.fullmatch(text) else _MAX_GROWTH)
