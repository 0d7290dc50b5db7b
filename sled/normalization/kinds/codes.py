"""Words of letters and digits: A320, MP3, SAVE20, 1Z999AA10123456784."""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.pronunciations import frequent_words
from sled.normalization.rules import CONSONANT, spell


def say_letters_and_digits(match: Match[str]) -> str:
    """A word of letters and digits: each run of capitals is spelled, each number is said."""
    said, is_serial = [], sum(map(str.isdigit, match[0])) > 5
    for part in _parts(match[0]):
        if part.isdigit():
            said.append(numbers.digit_by_digit(part) if is_serial else say_model_number(part))
        elif not is_serial and _is_word(part):
            said.append(part)  # SAVE20
        elif (
            len(part) == 1
            or _CONSONANTS.fullmatch(part.lower())
            or (part.isupper() and len(part) <= max(3, len(match[0]) - 1))
        ):
            said.append(spell(part))
        else:
            said.append(part)
    return " ".join(said)


def _is_word(letters: str) -> bool:
    """Whether the capitals before a number are a word: SAVE20."""
    can_be_said = _VOWEL.search(letters) is not None and _CLUSTER.search(letters) is None
    is_word = len(letters) > 3 and letters.isupper() and can_be_said
    return is_word and frequent_words().find(letters.lower()) is not None


_CONSONANTS = re.compile(f"{CONSONANT}+")
_VOWEL, _CLUSTER = re.compile("[AEIOUY]"), re.compile("[^AEIOUY]{3}")


def say_version_part(digits: str) -> str:
    """A part of a version: that of 4.17.20 is "seventeen", of 2025.06 "zero six"."""
    if digits[0] == "0" and len(digits) > 1:
        return numbers.digit_by_digit(digits)
    return numbers.pairs(digits) if len(digits) == 4 else numbers.cardinal(digits)


def say_model_number(digits: str) -> str:
    """The number of a model or code: A320 is "a three twenty"."""
    if digits[0] == "0" and len(digits) > 1:
        return numbers.digit_by_digit(digits)
    return numbers.pairs(digits) if len(digits) in (3, 4) else numbers.cardinal(digits)


def _parts(text: str) -> list[str]:
    parts: list[str] = []
    for char in text:
        if parts and _kind(parts[-1][-1]) == _kind(char):
            parts[-1] += char
        elif parts and parts[-1].isupper() and len(parts[-1]) == 1 and char.islower():
            parts[-1] += char  # a capital letter begins a word
        else:
            parts.append(char)
    return parts


def _kind(char: str) -> int:
    return 0 if char.isdigit() else 1 if char.isupper() else 2
