"""What a text is for the aligner: a row of letters, and a space after each word."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from lhotse.cut import Cut
from lhotse.cut.data import DataCut

from sled.normalization import normalize

BLANK = 0
WORD_END = 1


def cut_words(cut: Cut, text_normalization: str | None) -> list[str]:
    """The words of a cut, as a model with this normalisation reads them.

    Raises:
        ValueError: If the cut has no text, or is a mixture of others.
    """
    if not isinstance(cut, DataCut):
        raise ValueError(f"cut {cut.id} is mixed of several: save it as a recording of its own")
    text = (cut.supervisions[0].text or "") if cut.supervisions else ""
    words = normalize(text, text_normalization).split()
    if not words:
        raise ValueError(f"cut {cut.id} has no text: remove or transcribe it")
    return words


def letters(word: str) -> str:
    """What of a word may be heard: its letters, marks and digits, case folded."""
    return "".join(char for char in word.casefold() if unicodedata.category(char)[0] in "LMN")


@dataclass(frozen=True)
class Alphabet:
    """The symbols of a corpus: the blank, the end of a word, and its letters from then on."""

    letters: str

    @classmethod
    def of(cls, words: Iterable[str]) -> Alphabet:
        """All letters of some words."""
        return cls("".join(sorted({letter for word in words for letter in letters(word)})))

    def __len__(self) -> int:
        return WORD_END + 1 + len(self.letters)

    def encode(self, words: Iterable[str]) -> list[int]:
        """Symbols of a text in these letters; WORD_END comes once for each word, at its end."""
        symbols = []
        for word in words:
            symbols += [WORD_END + 1 + self.letters.index(letter) for letter in letters(word)]
            symbols.append(WORD_END)
        return symbols
