"""The spoken form of the parts of a word: numbers, dates, amounts, symbols, letters.

A word is a run of characters between two spaces, without the punctuation around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from re import Match
from typing import NamedTuple

from sled.normalization import numbers
from sled.normalization.tables import LETTER_GAP, MONTHS, SCALES, SPELLED, SYMBOLS, UNITS

NUMBER = r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]*\.[0-9]+|[0-9]+"
MONEY = r"([$£€¥])([0-9][0-9,]*)(?:\.([0-9]+))?"
CLOCK = r"([01]?[0-9]|2[0-4]):([0-5][0-9])"

_UNIT = "|".join(map(re.escape, sorted(UNITS, key=len, reverse=True)))
_MONTH, _DAY = "1[0-2]|0?[1-9]", "[12][0-9]|3[01]|0?[1-9]"
_WEB = r"(?:https?://)?([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.(?:com|org|net|edu|gov|io))(?![A-Za-z])"
_CAPITALS = re.compile(r"([A-Z]{2,6})('?s)?")
_VOWELS = set("AEIOUY")
# Years of two digits up to this one are in the 21st century.
_LAST_SHORT_YEAR = 30


def say_parts(word: str) -> str:
    """The spoken form of a word without the punctuation around it; case is kept."""
    said, position = "", 0
    while position < len(word):
        match = None
        for rule in _RULES:
            if match := rule.pattern.match(word, position):
                break
        assert match is not None, "the last rule matches everything"
        if words := rule.say(match):
            said += words if rule.is_glued or not said else f" {words}"
        position = match.end()
    return said or word


def count(number: str, unit: str) -> str:
    """A number with its unit, one of UNITS."""
    one, several = UNITS[unit]
    return f"{numbers.number(number, is_count=True)} {one if number == '1' else several}"


def say_letters(word: str) -> str:
    """A word of letters; capitals that cannot be read as a word, such as FBI, are spelled."""
    match = _CAPITALS.fullmatch(word)
    if match is None or (_VOWELS & set(match[1]) and match[1] not in SPELLED):
        return word
    return spell(match[1]) + ("'s" if match[2] else "")


def spell(letters: str) -> str:
    """Letters one by one."""
    return LETTER_GAP.join(letters.upper())


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    say: Callable[[Match[str]], str]
    is_glued: bool = False  # no space before it


def _say_money(match: Match[str]) -> str:
    sign, amount, cents, scale = match.groups(default="")
    return numbers.money(sign, amount, cents, SCALES[scale.lower()])


def _say_phone(match: Match[str]) -> str:
    return ", ".join(map(numbers.digit_by_digit, match[0].split("-")))


def _say_date(year: str, month: str, day: str) -> str:
    if len(year) == 2:
        year = ("20" if int(year) <= _LAST_SHORT_YEAR else "19") + year
    return f"{MONTHS[int(month) - 1]} {numbers.ordinal(int(day))}, {numbers.year(year)}"


def _say_clock(match: Match[str]) -> str:
    hours, minutes, half_day = match.groups(default="")
    words = numbers.clock(int(hours), int(minutes), has_half_day=bool(half_day))
    return f"{words} {spell(half_day)}" if half_day else words


def _say_web(match: Match[str]) -> str:
    return match[1].replace(".", " dot ").replace("-", " dash ")


def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)


# At each position of a word the first rule that matches is applied.
_RULES = [
    _Rule(_pattern(r"(?<!.)-(?=[0-9.$£€¥])"), lambda m: "minus"),
    _Rule(_pattern(r"(?<=[0-9%])-(?=[0-9$£€¥])"), lambda m: "to"),
    _Rule(_pattern(_WEB), _say_web),
    _Rule(_pattern(MONEY + r"(bn|tn|[kKmMbB])?(?![A-Za-z0-9])"), _say_money),
    _Rule(_pattern(r"(?:[0-9]{3}-)?[0-9]{3}-[0-9]{4}(?![0-9])"), _say_phone),
    _Rule(
        _pattern(r"([12][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(?![0-9-])"),
        lambda m: _say_date(m[1], m[2], m[3]),
    ),
    _Rule(
        _pattern(rf"({_MONTH})/({_DAY})/([0-9]{{4}}|[0-9]{{2}})(?![0-9/])"),
        lambda m: _say_date(m[3], m[1], m[2]),
    ),
    _Rule(_pattern(CLOCK + r"((?i:[ap]m))?(?![0-9A-Za-z:])"), _say_clock),
    _Rule(
        _pattern(r"([0-9]{1,3})/([0-9]{1,3})(?![0-9/])"),
        lambda m: numbers.fraction(int(m[1]), int(m[2])),
    ),
    _Rule(
        _pattern(r"([0-9][0-9,]*)(?i:st|nd|rd|th)(?![A-Za-z])"),
        lambda m: numbers.ordinal(m[1].replace(",", "")),
    ),
    _Rule(_pattern(r"((?:[12][0-9])?[0-9]0)'?s(?![A-Za-z])"), lambda m: numbers.decade(m[1])),
    _Rule(
        _pattern(r"([12][0-9]{3})-([0-9]{2})(?![0-9])"),
        lambda m: f"{numbers.year(m[1])} to {numbers.cardinal(int(m[2]))}",
    ),
    _Rule(
        _pattern(r"[0-9]+(?:\.[0-9]+){2,}"),
        lambda m: " point ".join(map(numbers.number, m[0].split("."))),
    ),
    _Rule(_pattern(rf"({NUMBER})({_UNIT})(?![A-Za-z0-9])"), lambda m: count(m[1], m[2])),
    _Rule(_pattern(NUMBER), lambda m: numbers.number(m[0])),
    _Rule(_pattern(r"(?:[A-Za-z]\.){2,}"), lambda m: spell(m[0].replace(".", ""))),
    _Rule(
        _pattern(r"[^\W\d_]+(?:['-][^\W\d_]+)*"),
        lambda m: "-".join(map(say_letters, m[0].split("-"))),
    ),
    _Rule(_pattern("#{2,}"), lambda m: ""),  # a heading
    _Rule(_pattern("(?<=[A-Za-z])#(?![0-9])"), lambda m: "sharp"),
    _Rule(_pattern("#(?=[A-Za-z])"), lambda m: "hashtag"),
    _Rule(_pattern(f"[{re.escape(''.join(SYMBOLS))}]"), lambda m: SYMBOLS[m[0]]),
    _Rule(_pattern(r"[-'*_~]+"), lambda m: ""),  # these connect or decorate words
    _Rule(_pattern(r"[^\w\s]"), lambda m: m[0], is_glued=True),
    _Rule(_pattern("."), lambda m: m[0], is_glued=True),
]
