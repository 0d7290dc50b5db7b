"""Numbers in English words, as American speakers say them."""

from __future__ import annotations

import re
from functools import lru_cache

# Longer ones are read digit by digit.
_MAX_DIGITS = 15
_CENTURIES = {*range(11, 20), 20}  # 1100 to 1999, and 2000 to 2099


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


def plain_number(text: str) -> str:
    """A number with a point for decimals and nothing between thousands.

    A comma before exactly three digits stands between thousands, any other comma before decimals.
    Points stand between thousands if there are several, or a comma follows.
    """
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?|\d{1,2}(,\d\d)+,\d{3}", text):
        return text.replace(",", "")
    if re.fullmatch(r"\d{1,3}(\.\d{3})+(,\d+)|\d{1,3}(\.\d{3}){2,}", text):
        text = text.replace(".", "")
    return text.replace(",", ".")


def number(text: str, *, is_count: bool = False) -> str:
    """The spoken form of a number.

    Args:
        text: Digits, optionally with signs between thousands and with decimals.
        is_count: The number counts something, so 1905 is not a year.
    """
    whole, point, decimals = plain_number(text).partition(".")
    if point:
        return f"{_whole(whole or '0')} point {digit_by_digit(decimals)}"
    looks_like_year = len(text) == 4 and int(text[:2]) in _CENTURIES
    return year(text) if looks_like_year and not is_count else _whole(whole)


def count(digits: str) -> str:
    """The spoken form of a number of something; 05 is five."""
    return number(re.sub(r"^0+(?=\d)", "", digits), is_count=True)


def _whole(digits: str) -> str:
    if len(digits) > _MAX_DIGITS or (digits[0] == "0" and len(digits) > 1):
        return digit_by_digit(digits)
    return cardinal(digits)


def pairs(digits: str) -> str:
    """Three or four digits as a size or a house is read: 1080 is "ten eighty"."""
    head, tail = digits[:-2], digits[-2:]
    if len(digits) not in (3, 4) or head[0] == "0":
        return number(digits, is_count=True)
    if tail == "00":
        return cardinal(digits) if head.endswith("0") else f"{cardinal(head)} hundred"
    return f"{cardinal(head)} {'oh ' if tail[0] == '0' else ''}{cardinal(int(tail))}"


def decade(digits: str) -> str:
    """1990 is "nineteen nineties", 90 "nineties", 2000 "two thousands"."""
    words = year(digits) if len(digits) == 4 else cardinal(digits)
    return re.sub("y$", "ie", words) + "s"


_SMALL = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen"
    r"|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
    r"|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth"
    r"|[a-z]+teenth|[a-z]+tieth)\b"
)
_BRITISH_AND = re.compile(
    rf"\b(hundred)(?= {_SMALL})"
    rf"|\b(thousand|[mbtr]+illion)(?= {_SMALL}(?:-[a-z]+)?(?! (?:hundred|thousand|[mbtr]+illion)))"
)


def with_british_and(words: str) -> str:
    """Add the "and" of British number words: "two hundred and five"."""
    return _BRITISH_AND.sub(lambda match: f"{match[0]} and", words)
