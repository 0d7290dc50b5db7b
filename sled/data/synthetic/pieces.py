"""Words and pieces of sentences: short readings that relate text and speech most clearly."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

MIN_PIECE_WORDS, MAX_PIECE_WORDS = 2, 10

_WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")
# Removed at both ends of a piece, where the rest of the sentence is missing.
_JOINTS = " ,;:-–—\"'()[]“”‘’"


def collect_words(sentences: Iterable[str]) -> list[str]:
    """Every word of some sentences once, in the order of first use.

    Words are in lower case, except those that never occur in lower case, which are mostly names.
    """
    forms: dict[str, str] = {}
    for sentence in sentences:
        for word in _WORD.findall(sentence):
            if forms.setdefault(word.lower(), word) != word and word.islower():
                forms[word] = word
    return list(forms.values())


def cut_piece(sentence: str, rng: random.Random) -> str:
    """A random sequence of words of a sentence; the whole sentence if it is short."""
    words = sentence.split()
    count = rng.randint(MIN_PIECE_WORDS, MAX_PIECE_WORDS)
    start = rng.randint(0, max(0, len(words) - count))
    return " ".join(words[start : start + count]).strip(_JOINTS)
