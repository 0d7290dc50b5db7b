"""Normalisation of strings of digits: 90125 and 555-0123 are said digit by digit.

Other signs are left out, since a model of digit strings was trained on words alone.
"""

from __future__ import annotations

import unicodedata

from sled.normalization.spoken import SpokenWord

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# No word is this long.
_MAX_WORD = 64


class DigitsNormalizer:
    """Normalises a text that comes in pieces, see `sled.normalization.Normalizer`.

    Letters are made small. Each word is followed by a space.
    """

    unspoken: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._word = ""  # the letters of the open word
        self._num_fed = 0

    def feed(self, piece: str) -> list[SpokenWord]:
        """Take the next characters; returns the output that no later character can change."""
        words: list[SpokenWord] = []
        for character in piece:
            digit = unicodedata.digit(character, None)
            is_letter = digit is None and (character.isalpha() or character in "'’")
            if not is_letter or len(self._word) == _MAX_WORD:
                words += self.finish()
            if is_letter:
                self._word += character
            self._num_fed += 1
            if digit is not None:
                words.append(SpokenWord(f"{WORDS[digit]} ", self._num_fed - 1, self._num_fed))
        return words

    def finish(self, *, goes_on: bool = False) -> list[SpokenWord]:
        """End the word; returns the rest of the output."""
        word, self._word = self._word, ""
        start = self._num_fed - len(word)
        return [SpokenWord(f"{word.lower()} ", start, self._num_fed)] if word.strip("'’") else []

    def following(self) -> DigitsNormalizer:
        """Open another one."""
        return DigitsNormalizer()
