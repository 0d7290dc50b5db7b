"""Digit strings as words: every spelling of a digit in a transcript counts as that digit."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sled.data.synthetic.digits import DIGIT_WORDS
from sled.evaluation.words import Wording, WordScore, score_words

# Words that sound exactly like a digit.
HOMOPHONES = {
    "ate": "eight",
    "for": "four",
    "fore": "four",
    "o": "zero",
    "oh": "zero",
    "to": "two",
    "too": "two",
    "won": "one",
}


def to_digit_words(text: str) -> list[str]:
    """Return the words of a text, with numerals and homophones written as digit words.

    "4-2, 7." and "For two seven" both become four, two, seven. Other words are kept, and count as
    errors.
    """
    spelled = re.sub(r"\d", lambda digit: f" {DIGIT_WORDS[int(digit[0])]} ", text.lower())
    words = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)*", spelled)
    return [HOMOPHONES.get(word, word) for word in words]


DIGITS = Wording("digit", to_digit_words)


def are_digit_strings(texts: Sequence[str]) -> bool:
    """Return whether the texts have only digit words."""
    return all(word in DIGIT_WORDS for text in texts for word in text.split())


def score_by_length(references: Sequence[str], transcripts: Sequence[str]) -> dict[int, WordScore]:
    """Return the scores of the digit strings of each length, shortest first."""
    groups: dict[int, list[tuple[str, str]]] = {}
    for reference, transcript in zip(references, transcripts, strict=True):
        groups.setdefault(len(reference.split()), []).append((reference, transcript))
    scores = {}
    for length, pairs in sorted(groups.items()):
        said, heard = zip(*pairs, strict=True)
        scores[length] = score_words(said, heard, DIGITS)
    return scores
