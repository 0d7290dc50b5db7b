"""Fractions.

1 1/2, 5/16, ⅔             one and one half, five sixteenths, two thirds
22/7, 24/7                 twenty-two over seven, twenty-four seven
3/4 cup, 1/2 mile          three quarters cup, half a mile
step 3/5, rated 9/10       step three of five, rated nine out of ten
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.kinds.unit_names import INGREDIENTS, KITCHEN, unit_names
from sled.normalization.rules import Rule, after, before, rule, so_far, word_set


def fraction(above: int, below: int) -> str:
    """3/4 is "three quarters", 22/7 "twenty-two over seven"."""
    if (above, below) in _NAMED:
        return f"{numbers.cardinal(above)} {numbers.cardinal(below)}"
    if below == 0 or above == 0 or below == 1:
        return f"{numbers.cardinal(above)} over {numbers.cardinal(below)}"
    is_named = below <= 20 or below in _DENOMINATORS
    if not is_named or (above >= below and below not in (2, 4)):
        return f"{numbers.cardinal(above)} over {numbers.cardinal(below)}"
    part = {2: "half", 4: "quarter"}.get(below) or numbers.ordinal(below)
    if below in (100, 1000):
        part = part.removeprefix("one ")
    plural = {"half": "halves"}.get(part, f"{part}s")
    return f"{numbers.cardinal(above)} {part if above == 1 else plural}"


_NAMED = {(24, 7), (9, 11), (20, 20), (50, 50), (7, 11)}  # twenty-four seven, nine eleven
_DENOMINATORS = {24, 25, 30, 32, 36, 40, 48, 50, 60, 64, 90, 100, 128, 256, 1000}
RATED = word_set("rated rate rating ratings score scored scores got gave give solid was is it")


_ACUITIES = {15, 25, 30, 40, 50, 60, 70, 80, 100, 200, 400}
_TEAM = re.compile("[A-Z]{2,4}")
_ODDS = re.compile(r" (?:favorites?|favourites?|shots?|underdogs?|odds)(?!\w)")
_RECOMMENDED = re.compile(r",? (?:would|stars?|recommend)(?!\w)")
_OVERS = re.compile(r" \(\d+(?:\.\d)? ?ov")
_OF = word_set(
    "went step part page lap chapter day question slide episode round task level item stage"
)


def _say_fraction(match: Match[str]) -> str | None:
    whole, above, below = match["whole"], int(match["above"]), int(match["below"])
    if whole:
        if not 0 < above < below:
            return None
        is_several = match["unit"] != '"' or re.match(" [a-z]{3,}", after(match)) is None
        return (
            f"{numbers.cardinal(whole)} and {fraction(above, below)}{_say_unit(match, is_several)}"
        )
    if above == 20 and below in _ACUITIES:
        return f"twenty {numbers.cardinal(below)}"
    is_cricket = _TEAM.fullmatch(before(match)) or _OVERS.match(after(match))
    if above > 20 and below <= 10 and is_cricket:  # IND 176/7, 287/6 (50 ov)
        return f"{numbers.cardinal(above)} for {numbers.cardinal(below)}"
    if below in (5, 10) and _RECOMMENDED.match(after(match)):  # 6/10, would not buy again
        return f"{numbers.cardinal(above)} out of {numbers.cardinal(below)}"
    if below == 10 and 10 < above < 16:
        return f"{numbers.cardinal(above)} out of ten"
    if 1900 <= above < 2100 and below > 99:  # a number of a letter: 2024/118
        return f"{numbers.year(match['above'])} slash {numbers.cardinal(below)}"
    if before(match).lower() in _OF and above <= below:
        return f"{numbers.cardinal(above)} of {numbers.cardinal(below)}"
    if (
        above + 1 == below and above > 6 and before(match).istitle() and before(match).isalpha()
    ):  # Windows 10/11
        return f"{numbers.cardinal(above)}, {numbers.cardinal(below)}"
    if (below in (5, 10, 100) or above > 9) and before(match).lower().rstrip(":") in RATED:
        return f"{numbers.cardinal(above)} out of {numbers.cardinal(below)}"
    if (above, below) in _NAMED or (above > below and above + below == 100):
        return f"{numbers.cardinal(above)} {numbers.cardinal(below)}"
    if below == above and above > 1:
        return (
            f"{numbers.cardinal(above)} out of {numbers.cardinal(below)}"
            if above > 9
            else (f"{numbers.cardinal(above)} {numbers.cardinal(below)}")
        )
    if above > below and _ODDS.match(after(match)):  # a 5/2 favorite
        return f"{numbers.cardinal(above)} to {numbers.cardinal(below)}"
    unit = _say_unit(match, above > below)
    if match["unit"] == '"':
        return f"{fraction(above, below)} inch"
    if match["unit"] in KITCHEN and above < below:
        return fraction(above, below) + unit
    if unit and match["gap"] == "-":
        return f"{fraction(above, below)} {_say_unit(match, False).strip()}"
    if unit and above < below:
        part = "half" if (above, below) == (1, 2) else f"{fraction(above, below)} of"
        return f"{part} {_with_article(unit.strip())}"
    said = fraction(above, below) + unit
    if below in (2, 4) and before(match).lower() in ("a", "an", "every", "each"):
        return said.removeprefix("one ")  # a 1/4 mile
    return said


def _with_article(unit: str) -> str:
    return f"a{'n' if unit[0] in 'aeio' or unit.startswith('hour') else ''} {unit}"


def _say_unit(match: Match[str], is_several: bool) -> str:
    if not match["unit"]:
        return ""
    names = KITCHEN.get(match["unit"])
    names = names or unit_names("in" if match["unit"] == '"' else match["unit"])
    return f" {names[is_several]}" if names else ""


_FRACTION_UNIT = (
    r"(?:(?P<gap>[ -])?(?P<unit>in(?=\.)|(?:[ctT]|pt)(?=\. (?:[a-z]|AP\b))"
    rf"|c(?= (?:{INGREDIENTS})\b)"
    r"|\"(?!\w)"
    r"|(?:km|cm|mm|kg|mg|ft|yd|mi|oz|lbs?|gal|qt|tsps?|tbsps?|Tbsp|mL|ml|hrs?|mins?|yrs?|h|L)(?!\w))"
    r"(?:\.(?=[,;:!?]| (?:[\"'(]?[a-z\d]|AP\b)))?)?"
)

BEGINS = r"\d"
RULES: list[Rule] = [
    rule(  # 1/250 s
        r"(?<![\w.,/])1/(?P<below>[1-9]\d{1,3}) ?s(?:ec)?(?!\w)",
        lambda m: f"one {numbers.ordinal(m['below'])} of a second",
        begins=r"1/\d{2,4}$",
        reach=1,
    ),
    rule(
        r"(?<![\w.,/])(?:(?P<whole>\d+)[ -])?(?P<above>\d{1,4})/(?P<below>\d{1,4})"
        r"(?:(?:th|rd|nd)s?)?(?![\w/]|[.,:]\d)" + _FRACTION_UNIT,
        _say_fraction,
        begins=r"\d+(?:$|[/-])",
        reach=3,
        goes_on=so_far(r"(?:\d+[ -])?\d+/\d+(?: [A-Za-z]+\.| c| \(\d+(?:\.\d)?)?"),
    ),
]
