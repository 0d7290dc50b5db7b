"""Where a sentence begins."""

from __future__ import annotations

import re

from sled.normalization.rules import LETTER, word_set

# Words that are capitalised at the beginning of a sentence and are not names.
SMALL_WORDS = word_set(
    "a an and as at but by for from he her his if in is it its my near no not of on or our "
    "she so than that the their then they this to under was we were when where with you your "
    "i"
)


def starts_sentence(word: str) -> bool:
    """Whether the word after a full stop begins a sentence, or there is no such word."""
    word = word.lstrip("\"'(*_")
    letters = re.match(rf"{LETTER}+", word)
    return not word or (
        word[0].isupper() and letters is not None and letters[0].lower() in SMALL_WORDS
    )
