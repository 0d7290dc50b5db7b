"""The spoken form of a word in its context: punctuation, the word before, sometimes the next.

Case is kept. LETTER_GAP follows each letter that is spelled.
"""

from __future__ import annotations

import re

from sled.normalization import numbers
from sled.normalization.parts import CLOCK, MONEY, NUMBER, count, say_parts, spell
from sled.normalization.tables import (
    COUNTED,
    INNER,
    LETTER_GAP,
    MAGNITUDES,
    MONTH_NAMES,
    NUMBERED,
    OPEN_TITLES,
    ROMAN,
    SMALL_WORDS,
    UNITS,
    WORDS,
)

_SHELL = re.compile(r"([\"'(*_~]*)(.*?)([.,;:!?\"')*_~]*)", re.DOTALL)
_DECORATION = str.maketrans("", "", "*_~")
_ENDS = frozenset(".,;:!?")

_DOTTED_LETTERS = re.compile(r"[A-Za-z](?:\.[A-Za-z])+")  # U.S, a.m
_INITIAL = re.compile(r"[A-HJ-Z]")  # with I, too many sentences end
_AMOUNT = re.compile(f"{MONEY}|{CLOCK}|{NUMBER}")
_MONEY, _NUMBER = re.compile(MONEY), re.compile(NUMBER)
_CLOCK = re.compile(rf"{CLOCK}|([01]?[0-9]|2[0-4])")
_DAY = re.compile("[12][0-9]|3[01]|0?[1-9]")
_HALF_DAYS = {"am", "pm", "AM", "PM"}
_DOTTED_HALF_DAYS = {"a.m", "p.m", "A.M", "P.M"}
_NAMED_ROMAN = re.compile(r"V|(?!XX?$)[IVX]{2,}")  # Henry V, but Malcolm X


def depends_on_next(text: str) -> bool:
    """Whether the next word, after a space, can change how this one is said."""
    _, word, closing = _unwrap(text)
    if closing.startswith("."):
        return (
            word in WORDS
            or word in NUMBERED
            or word == "St"
            or _INITIAL.fullmatch(word) is not None
            or (_DOTTED_LETTERS.fullmatch(word) is not None and word not in INNER)
        )
    return not closing and _AMOUNT.fullmatch(word) is not None


def say_word(text: str, before: str, following: str) -> tuple[str, int]:
    """The spoken form of a word.

    Args:
        text: The word, with the punctuation around it.
        before: The word before it, with its punctuation; "" for none.
        following: The next word, if `depends_on_next`; "" for none.

    Returns:
        The spoken form, and the number of words in it: 2 if it includes the next word.
    """
    opening, word, closing = _unwrap(text)
    if not word:
        return text, 1
    opening = opening.translate(_DECORATION)
    if closing.startswith("."):
        words = _say_abbreviation(word, before, following)
        if words is not None:
            rest = closing[1:].translate(_DECORATION)
            if _ENDS.intersection(rest):  # the sentence, or a part of it, without the stop
                words = words.removesuffix(".")
            return opening + words + rest, 1
    elif not closing and following:
        said = _say_amount(word, before, following)
        if said is not None:
            return opening + said[0], said[1]
    words = _say_by_place(word, before, closing) or say_parts(word)
    return opening + words + closing.translate(_DECORATION), 1


def _unwrap(text: str) -> tuple[str, str, str]:
    """Opening punctuation, the word proper, and closing punctuation."""
    match = _SHELL.fullmatch(text)
    assert match is not None, "the pattern matches everything"
    opening, word, closing = match.groups()
    return opening, word, closing


def _say_abbreviation(word: str, before: str, following: str) -> str | None:
    """The spoken form of an abbreviation, with a full stop if the sentence ends with it.

    None: the word is not an abbreviation.
    """
    if word in INNER:
        return INNER[word]
    if word in NUMBERED:
        return NUMBERED[word] if _unwrap(following)[1][:1].isdigit() else None
    if _INITIAL.fullmatch(word):
        is_inner = _unwrap(following)[1][:1].isupper() and not _starts_sentence(following)
        return word + LETTER_GAP if is_inner else None
    if word == "St" and not _is_name(before):
        return "saint"
    words = {"St": "street", **WORDS}.get(word)
    if words is None and _DOTTED_LETTERS.fullmatch(word):
        words = spell(word.replace(".", ""))
    if words is None:
        return None
    return f"{words}." if _starts_sentence(following) else words


def _starts_sentence(following: str) -> bool:
    """Whether the word after an abbreviation begins a sentence, or there is no such word."""
    word = _unwrap(following)[1]
    return not word or (word[0].isupper() and word.lower() in SMALL_WORDS)


def _is_name(text: str) -> bool:
    """Whether a word is a name: it is capitalised, and is not one that often begins a sentence."""
    return text.isalpha() and text[0].isupper() and text.lower() not in SMALL_WORDS


def _say_amount(word: str, before: str, following: str) -> tuple[str, int] | None:
    """A number with its unit, or a time of day, as `say_word` returns it; None for neither."""
    opening, unit, closing = _unwrap(following)
    if opening:
        return None
    if (match := _MONEY.fullmatch(word)) and unit in MAGNITUDES:
        sign, amount, cents = match.groups(default="")
        return numbers.money(sign, amount, cents, unit) + closing, 2
    if _NUMBER.fullmatch(word) and unit in UNITS:
        return count(word, unit) + closing, 2
    if _DAY.fullmatch(word) and unit in MONTH_NAMES:
        article = "" if before.lower() == "the" else "the "
        return f"{article}{numbers.ordinal(int(word))} of", 1
    if match := _CLOCK.fullmatch(word):
        hours, minutes, hour = match.groups()
        words = numbers.clock(int(hour or hours), int(minutes or 0), has_half_day=True)
        if unit in _HALF_DAYS:
            return f"{words} {spell(unit)}{closing}", 2
        if unit in _DOTTED_HALF_DAYS:
            return words, 1
    return None


def _say_by_place(word: str, before: str, closing: str) -> str | None:
    """The spoken form of a word that depends on the word before it; None if it does not."""
    if word in OPEN_TITLES and not closing:
        return INNER[word]
    if word == "St" and not closing:
        return "street" if _is_name(before) else "saint"
    if before in MONTH_NAMES and _DAY.fullmatch(word):
        return numbers.ordinal(int(word))
    if word in ROMAN:
        if before.lower() in COUNTED and (word != "I" or before[0].isupper()):
            return numbers.cardinal(ROMAN[word])
        if _NAMED_ROMAN.fullmatch(word) and _is_name(before):
            return f"the {numbers.ordinal(ROMAN[word])}"
    return None
