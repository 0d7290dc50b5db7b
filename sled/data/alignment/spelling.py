"""Texts as symbols for the aligner: the letters of each word and a symbol for its end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lhotse.cut import Cut
from lhotse.cut.data import DataCut

from sled.data.alignment.spoken_times import is_letter
from sled.normalization import normalize

BLANK = 0
WORD_END = 1


def cut_words(cut: Cut, text_normalization: str | None) -> list[str]:
    """Words of a cut, as a model with this normalisation reads them; none if nothing is said.

    Raises:
        ValueError: If the cut is a mixture of cuts.
    """
    if not isinstance(cut, DataCut):
        raise ValueError(f"cut {cut.id} is a mixture: save it as a single recording")
    text = (cut.supervisions[0].text or "") if cut.supervisions else ""
    return normalize(text, text_normalization).split()


def letters(word: str, fold_case: bool = False) -> list[str]:
    """Letters of a word that take time to say; see `is_letter`.

    Args:
        word: The word.
        fold_case: Whether letters are case-folded, which may give two letters for one, as for ß.
    """
    return [char.casefold() if fold_case else char for char in word if is_letter(char)]


@dataclass(frozen=True)
class Alphabet:
    """The symbols of a corpus: the blank, the end of a word, then its letters.

    Attributes:
        letters: The letters.
        fold_case: Whether letters are case-folded.
    """

    letters: tuple[str, ...]
    fold_case: bool

    @classmethod
    def of(cls, words: Iterable[str], *, fold_case: bool) -> Alphabet:
        """Collect the letters of some words."""
        found = {letter for word in words for letter in letters(word, fold_case)}
        return cls(tuple(sorted(found)), fold_case)

    def __len__(self) -> int:
        return WORD_END + 1 + len(self.letters)

    def knows(self, letter: str) -> bool:
        """Whether a letter of a text can be spelt; all that takes no time to say can."""
        return all(one in self.letters for one in letters(letter, self.fold_case))

    def encode(self, words: Iterable[str]) -> list[int]:
        """Symbols of words in this alphabet, with WORD_END after each word."""
        symbols = []
        for word in words:
            spelt = letters(word, self.fold_case)
            symbols += [WORD_END + 1 + self.letters.index(letter) for letter in spelt]
            symbols.append(WORD_END)
        return symbols
