"""Numbers in English words, as American speakers say them."""

from __future__ import annotations

import re
from functools import lru_cache

# Longer ones are read digit by digit.
_MAX_DIGITS = 15
_CENTURIES = {*range(11, 20), 20}  # 1100 to 1999, and 2000 to 2099

_PARTS = {2: "half", 4: "quarter"}
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
}


@lru_cache(maxsize=10_000)
def cardinal(number: int | str) -> str:
    """1234 is "one thousand two hundred thirty-four"."""
    return _in_words(int(number), "cardinal")


def ordinal(number: int | str) -> str:
    """121 is "one hundred twenty-first"."""
    return _in_words(int(number), "ordinal")


def _in_words(number: int, to: str) -> str:
    from num2words import num2words  # it imports all its languages, which takes 0.1 s

    return str(num2words(number, to=to)).replace(",", "").replace(" and ", " ")


def digit_by_digit(digits: str) -> str:
    """007 is "zero zero seven"."""
    return " ".join(cardinal(digit) for digit in digits)


def year(digits: str) -> str:
    """1905 is "nineteen oh five", 2005 "two thousand five", 2015 "twenty fifteen"."""
    century, rest = divmod(int(digits), 100)
    if century % 10 == 0 and rest < 10:
        return cardinal(digits)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def number(text: str, *, is_count: bool = False) -> str:
    """The spoken form of a number.

    Args:
        text: Digits, optionally with commas between thousands and with decimals.
        is_count: The number counts something, so 1905 is not a year.
    """
    whole, point, decimals = text.partition(".")
    digits = whole.replace(",", "")
    if point:
        return f"{_whole(digits or '0')} point {digit_by_digit(decimals)}"
    looks_like_year = len(whole) == 4 and int(digits[:2]) in _CENTURIES
    return year(digits) if looks_like_year and not is_count else _whole(digits)


def _whole(digits: str) -> str:
    if len(digits) > _MAX_DIGITS or (digits[0] == "0" and len(digits) > 1):
        return digit_by_digit(digits)
    return cardinal(digits)


def money(sign: str, amount: str, cents: str, scale: str) -> str:
    """An amount of money.

    Args:
        sign: The sign of the currency.
        amount: Digits, optionally with commas between thousands.
        cents: Digits after the point; "" for none.
        scale: A word such as "million"; "" for none.
    """
    one, many, small_one, small_many = _CURRENCIES[sign]
    if scale or (cents and len(cents) != 2):
        text = f"{amount}.{cents}" if cents else amount
        return " ".join(filter(None, [number(text, is_count=True), scale, many]))
    parts = []
    if amount.strip("0,") or not cents.strip("0"):
        parts.append(f"{number(amount, is_count=True)} {one if amount == '1' else many}")
    if cents.strip("0"):
        parts.append(f"{cardinal(int(cents))} {small_one if cents == '01' else small_many}")
    return " and ".join(parts)


def fraction(above: int, below: int) -> str:
    """3/4 is "three quarters", 24/7 "twenty-four seven"."""
    if not 0 < above < below <= 10:
        return f"{cardinal(above)} {cardinal(below)}"
    part = _PARTS.get(below) or ordinal(below)
    plural = {"half": "halves"}.get(part, f"{part}s")
    return f"{cardinal(above)} {part if above == 1 else plural}"


def decade(digits: str) -> str:
    """1990 is "nineteen nineties", 90 "nineties", 2000 "two thousands"."""
    words = year(digits) if len(digits) == 4 else cardinal(digits)
    return re.sub("y$", "ie", words) + "s"


def clock(hours: int, minutes: int, *, has_half_day: bool) -> str:
    """A time of day; a full hour gets "o'clock" unless a.m. or p.m. follows."""
    if minutes == 0:
        return cardinal(hours) if has_half_day else f"{cardinal(hours)} o'clock"
    return f"{cardinal(hours)} {'oh ' if minutes < 10 else ''}{cardinal(minutes)}"
