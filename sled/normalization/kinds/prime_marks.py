"""A number with a single prime mark, and no inches: feet, or a minute of football.

a 10' ladder, boards of 8'   a ten foot ladder, boards of eight feet
Saka 67', in the 12'         Saka sixty-seven, in the twelve
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.rules import FREE, Rule, before, rule

_REACH = 64  # characters before the number
_OPEN_QUOTE = re.compile(r"(?<![^ (\n\v])'(?!\d\ds?(?!\w))[^']*$")
_FOOTBALL = re.compile(
    r"(?i:\b(?:goals?|scor\w+|penalty|pen|headers?|assists?|subs?|cards?|minutes?|equali[sz]\w+"
    r"|half-time|offside)\b)|\b(?:FT|HT|VAR)\b|'[,;] $"
)
_NAME = re.compile(r"\(?[A-Z][^\W\d_A-Z]+,?")
_NOUN = re.compile(
    r" (?!(?:and|or|for|from|with|into|to|of|in|at|on|by|but|when|while|after|before|above)\b)[a-z]"
)


def _say(match: Match[str]) -> str | None:
    past = match.string[max(0, match.start() - _REACH) : match.start()]
    if _OPEN_QUOTE.search(past):
        return None  # '12'
    number = numbers.number(match["number"], is_count=True)
    behind = match.string[match.end() : match.endpos]
    if _FOOTBALL.search(past) or _FOOTBALL.match(behind, 1) or _NAME.fullmatch(before(match)):
        return number
    return f"{number} foot" if _NOUN.match(behind) or number == "one" else f"{number} feet"


BEGINS = r"\d{1,3}'"
RULES: list[Rule] = [
    rule(
        rf"{FREE}(?P<number>\d{{1,3}})'(?![\w'\"])(?! ?[x×])",
        _say,
        begins=r"\d{1,3}'$",
        reach=1,
    ),
]
