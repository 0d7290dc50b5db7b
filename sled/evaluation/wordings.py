"""How texts are divided into the words that are compared, so that spelling makes no difference."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from sled.data.synthetic.digits import DIGIT_WORDS

_NO_BRACKETS = str.maketrans("()[]<>", "      ")

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


@dataclass(frozen=True)
class Wording:
    """How texts are split into the words that are compared, without differences of spelling.

    Attributes:
        unit: Name of the words in reports.
        split: Returns the words of a text.
    """

    unit: str
    split: Callable[[str], list[str]]


@cache
def _english_normalizer() -> EnglishTextNormalizer:
    # transformers does not include the table of British and American spellings.
    return EnglishTextNormalizer({})  # type: ignore[no-untyped-call]


def to_english_words(text: str) -> list[str]:
    """Return the words of an English text, normalised as usual for Whisper.

    Case, punctuation, contractions, titles and ways to write a number make no difference.
    """
    # The normaliser drops text in brackets, which is spoken too, and keeps a point of "..." as a
    # word.
    words = _english_normalizer()(text.translate(_NO_BRACKETS)).split()
    return [word for word in words if any(map(str.isalnum, word))]


def to_spoken_words(text: str) -> list[str]:
    """As `to_english_words`, for texts with letters, numbers and addresses.

    What sounds alike is the same here: letters are one word whether they are written together or
    apart (NASA, N.A.S.A., N A S A), digits are single words, and a point within a word is the word
    dot.
    """
    text = re.sub(r"\b([A-Za-z])\.(?=[A-Za-z]\b)", r"\1 ", text)  # N.A.S.A.
    text = re.sub(r"(?<=[^\W\d])\.(?=\w)", " dot ", text)
    text = re.sub(r"(?<=[^\W\d])[-/_](?=\w)", " ", text)
    words = [part for word in to_english_words(text) for part in re.findall(r"\d|[^\W\d]+", word)]
    joined: list[str] = []
    letters = ""
    for word in [*words, ""]:
        if len(word) == 1 and word.isalpha():
            letters += word
            continue
        if letters:
            joined.append(letters)
        letters = ""
        if word:
            joined.append(word)
    return joined


def to_digit_words(text: str) -> list[str]:
    """Return the words of a text, with numerals and homophones written as digit words.

    "4-2, 7." and "For two seven" both become four, two, seven. Other words are kept, and count as
    errors.
    """
    spelled = re.sub(r"\d", lambda digit: f" {DIGIT_WORDS[int(digit[0])]} ", text.lower())
    words = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)*", spelled)
    return [HOMOPHONES.get(word, word) for word in words]


def to_characters(text: str) -> list[str]:
    """Return the characters of a Mandarin text; a word of Latin letters or a number is one."""
    text = unicodedata.normalize("NFKC", text).lower()
    return re.findall(r"[a-z]+(?:'[a-z]+)*|\d+|[^\W\d_a-z]", text)


ENGLISH = Wording("word", to_english_words)
DIGITS = Wording("digit", to_digit_words)
WORDINGS = {
    "english": ENGLISH,
    "spoken-english": Wording("word", to_spoken_words),
    "digits": DIGITS,
    "mandarin": Wording("character", to_characters),
}
"""The ways to divide texts, by the name that protocols give them."""


def choose_wording(name: str, texts: Sequence[str]) -> Wording:
    """Return the wording of a name.

    With "auto", it is that of digits if the texts have only digit words, and else that of English.

    Raises:
        ValueError: If there is none of that name.
    """
    if name == "auto":
        return DIGITS if are_digit_strings(texts) else ENGLISH
    if name not in WORDINGS:
        raise ValueError(f"normaliser {name!r}: choose one of auto, {', '.join(WORDINGS)}")
    return WORDINGS[name]


def are_digit_strings(texts: Sequence[str]) -> bool:
    """Return whether the texts have only digit words."""
    return all(word in DIGIT_WORDS for text in texts for word in text.split())
