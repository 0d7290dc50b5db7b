"""Where a sentence begins."""

from __future__ import annotations

import re

from sled.normalization.rules import LETTER, word_set

# Words that are capitalised at the beginning of a sentence and are not names.
SMALL_WORDS = word_set(
    "a an and as at but by for from he her his if in is it its my near no not of on or our "
    "she so than that the their then they this to under was we were when where with you your "
    "i i'm i'll i've it's that's there there's here what what's why how who which while because "
    "although though since until before after during also all any both each every some many most "
    "please don't do does did can could would should these those don't let's we'll we're you'll "
    "you're they're she's he's yes once now yet however instead meanwhile"
)


def starts_sentence(word: str) -> bool:
    """Whether the word after a full stop begins a sentence, or there is no such word."""
    word = word.lstrip("\"'(*_")
    letters = re.match(rf"{LETTER}+(?:'{LETTER}+)?", word)
    return not word or (
        word[0].isupper() and letters is not None and letters[0].lower() in SMALL_WORDS
    )
