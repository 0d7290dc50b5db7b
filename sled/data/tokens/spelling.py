"""Texts as symbols that a speech tokenizer learns to spell: letters or phonemes, and spaces."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from sled.normalization import normalize

BLANK = 0

_STRESS = "ˈˌ"


def spell(text: str, text_normalization: str | None) -> list[str]:
    """Return the letters or phonemes of a text, with single spaces between words."""
    said = (
        normalize(text, text_normalization).casefold()
        if (text_normalization != "english-phonemes")
        else normalize(text, text_normalization)
    )
    kept = (
        character if _is_spelled(character) else " " if character.isspace() else ""
        for character in said
    )
    return list(" ".join("".join(kept).split()))


def _is_spelled(character: str) -> bool:
    """Whether a character is a letter, a mark of one, or a digit. Stress is no sound."""
    return unicodedata.category(character)[0] in "LMN" and character not in _STRESS


def edit_distance(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the number of symbols to replace, insert or delete (Levenshtein 1966)."""
    row = list(range(len(other) + 1))
    for count, symbol in enumerate(one, start=1):
        diagonal, row[0] = row[0], count
        for place, wanted in enumerate(other, start=1):
            best = min(row[place] + 1, row[place - 1] + 1, diagonal + (symbol != wanted))
            diagonal, row[place] = row[place], best
    return row[-1]


def greedy_symbols(best: Iterable[int]) -> list[int]:
    """Return the symbols that the most likely labels of frames spell, by the rules of CTC."""
    symbols, newest = [], BLANK
    for label in best:
        if label not in (newest, BLANK):
            symbols.append(label)
        newest = label
    return symbols
