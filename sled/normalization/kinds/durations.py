"""Durations.

3h 20m, 1h 5m 30s        three hours twenty minutes, one hour five minutes thirty seconds
Prep: 10m, cook time 45m  prep: ten minutes, cook time forty-five minutes
5m ago, a 10m call       five minutes ago, a ten minute call
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.rules import END, FREE, Rule, rule, word_table

_UNITS = word_table("s=second m=minute h=hour d=day w=week y=year")
_PARTS = ("d", "h", "m", "s")
_DURATION = (
    r"(?:(?P<d>\d+) ?d ?)?(?:(?P<h>\d+) ?h(?:rs?)? ?)?"
    r"(?:(?P<m>\d+) ?m(?:ins?)?(?![a-zA-Z^/²³])\.? ?)?(?:(?P<s>\d+) ?s(?:ecs?)?)?"
)
# Before and behind what is measured in minutes.
_COOKING = (
    "simmer|boil|bake|roast|fry|saut[eé]|steam|knead|soak|marinate|chill|cool|cook|stir|rest|rise"
    "|grill|broil|wait|snooze"
)
_LASTING = re.compile(
    r"(?i:(?:prep|cook|bake|rest|chill|total|active|read|wait|sleep|duration|timeout|eta|runtime)"
    rf"(?:(?: time)?:? ?|ing time:? ?)|\btime: |\bevery |\b(?:{_COOKING})(?: for)? "
    rf"|\b(?:{_COOKING})\b[^.;]{{0,40}} for )(?:\d+-)?$"
)
_TIMED = "read|nap|timer|workout|break|call|meeting|session|meditation|delay|warm-up|cooldown|video"


def _say_parts(match: Match[str]) -> str:
    return " ".join(_say(match[part], part) for part in _PARTS if match[part])


def _say(number: str, unit: str) -> str:
    return f"{numbers.count(number)} {_UNITS[unit]}{'s' * (number != '1')}"


BEGINS = r"\d"
RULES: list[Rule] = [
    rule(  # 28yo, a 62-y/o man
        rf"{FREE}(?P<age>\d{{1,3}})[ -]?(?:y/?o|y\.o\.)(?!\w)"
        r"(?P<is_one>(?= (?:[a-z]|[MF](?!\w))))?",
        lambda m: (
            f"{numbers.cardinal(m['age'])} "
            + ("year old" if m["is_one"] is not None or m["age"] == "1" else "years old")
        ),
        begins=r"\d{1,3}(?:$|[ -]?y/?o|y\.o\.)",
        reach=2,
        goes_on=r"y/?o|y\.o\.",
    ),
    rule(
        rf"{FREE}(?=(?:\d+ ?[dhm][a-z]* ?)+\d+ ?[hms]){_DURATION}(?<=[a-z]){END}",
        _say_parts,
        begins=r"\d+(?:d|h|hrs?|m|mins?)(?:$|\d)",
        reach=3,
        goes_on=r"\d+(?:h|hrs?|m|mins?|s|secs?)[.,;:!?)]*",
    ),
    rule(
        rf"{FREE}(?P<number>\d+)(?P<unit>[smhdwy])(?= (?:ago|late|early)\b)",
        lambda m: _say(m["number"], m["unit"]),
        begins=r"\d+[smhdwy]$",
        reach=1,
    ),
    rule(
        rf"{FREE}(?P<number>\d+)m(?= (?:{_TIMED})\b)",
        lambda m: f"{numbers.count(m['number'])} minute",
        begins=r"\d+m$",
        reach=1,
    ),
    rule(
        rf"(?<![\w.,])(?P<number>\d+) ?m{END}",
        lambda m: _say(m["number"], "m") if _LASTING.search(m.string, 0, m.start()) else None,
        begins=r"\d+$",
        reach=1,
    ),
]
