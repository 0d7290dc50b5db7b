"""Directions and roads: letters that stand for a side of the sky.

E 42nd St, W. 29th Pl., E Pine St  east forty-second street, west twenty-ninth place, east ...
5 mi N on US-101, I-95 N           five miles north on ..., i ninety-five north
40° N, 40°42'46"N                  forty degrees north, forty degrees forty-two minutes ... north
4500 W. 29th Pl.                   forty-five hundred west twenty-ninth place
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.kinds.short_forms import SIDES
from sled.normalization.rules import FREE, Rule, rule

_NUMBERED_ROAD = re.compile(
    r"(?<!\w)(?:I-|US-|US |SR-|(?:Route|Rte\.?|Hwy\.?|Highway) )\d+ $|"
    r"(?<!\w)(?:Ave|St|Rd|Blvd|Avenue|Street)\.? $"
)
_AFTER_WAY = re.compile(r"\d ?(?:mi|miles?|km|m|ft|feet|blocks?|hrs?|hours?|h|mins?|minutes?)\.? $")
_STREET = (
    r"(?:St|Ave|Blvd|Rd|Dr|Ln|Pl|Ct|Pkwy|Street|Avenue|Boulevard|Road|Drive|Lane|Place|Court|Way)"
)


def _say_angle(match: Match[str]) -> str:
    parts = [f"{numbers.number(match['degrees'], is_count=True)} degrees"]
    parts.append(f"{numbers.number(match['minutes'], is_count=True)} minutes")
    if match["seconds"]:
        parts.append(f"{numbers.number(match['seconds'], is_count=True)} seconds")
    if match["side"]:
        parts.append(SIDES[match["side"]])
    return " ".join(parts)


BEGINS = r"\d+°|[NSEW](?![\w'])|[1-9]\d?00$"
RULES: list[Rule] = [
    rule(
        r"(?P<degrees>\d+)° ?(?P<minutes>\d+(?:\.\d+)?)'(?: ?(?P<seconds>\d+(?:\.\d+)?)\")?"
        r"(?: ?(?P<side>[NSEW])(?!\w))?",
        _say_angle,
        begins=r"\d+°",
        reach=3,
        goes_on=r"[\d.]+['\"].*|[NSEW][.,;]?",
    ),
    rule(  # E 42nd St
        r"(?<![\w.'])[NSEW](?= \d+(?:st|nd|rd|th)\b)",
        lambda m: SIDES[m[0]],
        begins="[NSEW]$",
        reach=1,
    ),
    rule(  # 2.5 hrs. N on US-101
        r"(?<![\w.'])[NSEW](?= (?:on|of|along|via)(?!\w))",
        lambda m: SIDES[m[0]] if _AFTER_WAY.search(m.string, 0, m.start()) else None,
        begins="[NSEW]$",
        reach=1,
    ),
    rule(  # I-95 N
        r"(?<![\w.'])[NSEW](?![\w.'])",
        lambda m: SIDES[m[0]] if _NUMBERED_ROAD.search(m.string, 0, m.start()) else None,
    ),
    rule(r"(?<=\d°)[NSEW](?!\w)|(?<=\d° )[NSEW](?!\w)", lambda m: SIDES[m[0]]),
    rule(  # E Pine St
        rf"(?<![\w.'])[NSEW]\.?(?= [A-Z][a-z]+ {_STREET}(?!\w))",
        lambda m: SIDES[m[0][0]],
        begins=r"[NSEW]\.?$",
        reach=2,
        goes_on="[A-Z][a-z]+",
    ),
    rule(
        rf"{FREE}[1-9]\d?00(?= (?:[NSEW]|[NS][EW])\.? (?:[A-Z]|\d))",
        lambda m: numbers.pairs(m[0]),
        begins=r"[1-9]\d?00$",
        reach=2,
        goes_on=r"(?:[NSEW]|[NS][EW])\.?",
    ),
]
