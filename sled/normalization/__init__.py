"""Text normalisation: numbers, abbreviations and symbols in words, before text becomes tokens.

A model's configuration (`text_normalization`) names the normalisation of its training texts.
Everything that the model speaks is normalised in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from sled.normalization.digits import DigitsNormalizer
from sled.normalization.english import EnglishNormalizer, in_small_letters
from sled.normalization.kinds.calendar import DIALECTS, Dialect
from sled.normalization.phonemes import in_phonemes
from sled.normalization.spoken import SpokenWord, Verbatim, text_of

__all__ = [
    "Dialect",
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
_LETTERS = re.compile(r"[A-Za-z'\".,;:!?()\s-]*")


class Normalizer(Protocol):
    """Normalises a text that comes in pieces.

    The words and their spans do not depend on how the text was cut into pieces. The spans are in
    order, and cover every character that is said. The state is made of immutable values, so
    `copy.copy` makes a snapshot.
    """

    @property
    def unspoken(self) -> tuple[str, ...]:
        """The characters so far that were left out since they cannot be said, each once."""
        ...

    def feed(self, piece: str) -> list[SpokenWord]:
        """Take the next characters; returns the output that no later character can change."""
        ...

    def finish(self, *, goes_on: bool = False) -> list[SpokenWord]:
        """End the text; returns the rest of the output.

        Args:
            goes_on: Whether more text follows, for another normalizer: the end of the last line is
                then said as it is elsewhere.
        """
        ...

    def following(self) -> Normalizer:
        """Open a normalizer for the text behind this one, which is finished.

        It counts characters from its own beginning, and knows where in a line that is.
        """
        ...


# How each normalisation writes spoken words.
_WRITERS: dict[str, Callable[[str], str]] = {
    "english": in_small_letters,
    "english-phonemes": in_phonemes,
}


def open_normalizer(name: str | None, dialect: Dialect = "american") -> Normalizer:
    """Open a normalizer for one text.

    Args:
        name: The normalisation, as in a model's configuration. None: leave the text as it is.
        dialect: "american", or "british": 01/02 is the first of February, and 101 "one hundred and
            one".

    Raises:
        ValueError: There is no such normalisation or dialect.
    """
    if dialect not in DIALECTS:
        raise ValueError(f"dialect={dialect!r}: choose one of: {', '.join(DIALECTS)}")
    if name is None:
        return Verbatim()
    if name == "digits":
        return DigitsNormalizer()
    if name not in _WRITERS:
        known = ", ".join((*_WRITERS, "digits"))
        raise ValueError(f"text_normalization={name!r}: leave it out, or choose one of: {known}")
    return EnglishNormalizer(_WRITERS[name], dialect)


def normalize(text: str, name: str | None, dialect: Dialect = "american") -> str:
    """Normalise a whole text as `open_normalizer(name, dialect)` does."""
    normalizer = open_normalizer(name, dialect)
    return text_of(normalizer.feed(text) + normalizer.finish())


def max_bytes(text: str, name: str | None) -> int:
    """How many UTF-8 bytes `normalize(text, name)`, and a space behind it, have at most.

    Computing this does not normalise the text.
    """
    size = len(text.encode()) + 1
    if name is None:
        return size
    return size * (_MAX_GROWTH_OF_LETTERS if _LETTERS.fullmatch(text) else _MAX_GROWTH)
