"""Quantities: numbers with units.

5 m, 200g, 2L, 60W, 100 kWh   five meters, two hundred grams, two liters, sixty watts, ...
30 m/s, 9.8 m/s², 5 MB/s      thirty meters per second, ... per second squared, ...
50 m², 5 sq ft, 3 cm³         fifty square meters, five square feet, three cubic centimeters
−10 °C, 50%, 45°              minus ten degrees celsius, fifty percent, forty-five degrees
5'10", 6 ft. 2 in.            five foot ten, six feet two inches
3h 20m, 2 tbsp. of oil        three hours twenty minutes, two tablespoons of oil
a 5 km run, a 60W bulb        a five kilometer run, a sixty watt bulb
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.kinds.unit_names import (
    ALONE,
    COUNTED,
    KITCHEN,
    SQUARES,
    SYMBOL,
    UNIT,
    UNITS,
    names_of,
    unit_names,
)
from sled.normalization.rules import END, FREE, NUMBER, Rule, before, rule, word_set

_HAS_INCHES = re.compile(
    r"\.?(?: =| (?:long|tall|wide|high|deep|thick|x|by|×|of|in diameter|pipe|screen|display)\b"
    r"|[\"')]*$|[,;:)])"
)
_IS_COUNTED = re.compile(rf"[ -](?:{COUNTED})\b")
_AFTER_FEET = re.compile(r"\b(?:ft\.?|feet|foot|')$")


def _may_be_unit(text: str) -> bool:
    word = text.rpartition(" ")[2].rstrip(".,;:!?)")
    return word in SQUARES or word == "fl" or unit_names(word) is not None


def _say_quantity(match: Match[str]) -> str | None:
    number, gap, unit = match["number"], match["gap"], match["unit"]
    rest = match.string[match.end("unit") : match.endpos]
    if unit == "in" and not match["area"]:
        is_certain = gap == "" or gap == "-" or _AFTER_FEET.search(before(match))
        if not is_certain and not (_HAS_INCHES.match(rest) and rest[:1] != ""):
            return None
    if gap == " " and unit in _SIDES and re.match(r"\.? (?:[A-Z]|\d+(?:st|nd|rd|th)\b)", rest):
        return None  # 5 N. Main St.
    if unit == "s" and re.search(r"[a-z]-$", match.string[: match.start("number")]):
        return None  # under-12s
    if unit == "m" and gap == "" and _IS_COUNTED.match(rest):
        return None  # 5m views
    if gap == "" and unit in ("K", "ac"):
        return None  # thousands, 802.11ac
    if unit == "N" and match.string[max(0, match.start() - 1) : match.start()] == "-":
        return None  # I-95 N.
    if unit in _SIDES and before(match).lower().rstrip(".") in _ROADS:
        return None  # Route 3 W.
    if match["area"] == "fl":
        names = UNITS["fl oz"] if unit == "oz" else None
    else:
        names = unit_names(_unit_text(match))
    if names is None:
        return None
    if match["area"] in SQUARES:
        names = (f"{SQUARES[match['area']]} {names[0]}", f"{SQUARES[match['area']]} {names[1]}")
    is_one = number == "1" or gap == "-" or _is_adjective(match)
    words = f"{numbers.number(number, is_count=True)} {names[0] if is_one else names[1]}"
    return f"minus {words}" if match["minus"] else words


def _unit_text(match: Match[str]) -> str:
    text: str = match["unit"] + (match["power"] or "")
    if match["below"]:  # m s⁻²
        return f"{text}/{match['below']}{match['below_power'].strip('1')}"
    if match["per"]:
        text += match["link"] + match["per"] + (match["per_power"] or "")
    return text


_NOUN = re.compile(r" [a-z]{3,}")
_NO_NOUN = re.compile(
    r" (?:and|for|from|with|into|than|that|per|was|were|are|away|ago|later|long|tall|wide|high|deep"
    r"|thick|off|under|over|above|below|more|less|each|every|about|before|after|the|when|while"
    r"|because|but|until|of)\b"
)


_DETERMINERS = word_set("a an the this that every each another my your his her our their")


def _is_adjective(match: Match[str]) -> bool:
    """Whether a quantity stands between an article and a noun: a 5 km run."""
    rest = match.string[match.end() : match.endpos]
    if match["unit"] == "°":
        return re.match(" (?:angle|turn|rotation|slope|view)", rest) is not None
    if before(match).lower() not in _DETERMINERS or match["unit"] == "%":
        return False
    return _NOUN.match(rest) is not None and _NO_NOUN.match(rest) is None


def _say_feet(match: Match[str]) -> str:
    feet = numbers.number(match["feet"], is_count=True)
    if match["inches"]:
        return f"{feet} foot {numbers.number(match['inches'], is_count=True)}"
    return f"{feet} foot" if match["feet"] == "1" or _is_tall(match) else f"{feet} feet"


def _is_tall(match: Match[str]) -> bool:
    return match.string[match.end() : match.endpos].startswith(" tall")


def _say_duration(match: Match[str]) -> str:
    parts = []
    for name, unit in (
        ("days", "day"),
        ("hours", "hour"),
        ("minutes", "minute"),
        ("seconds", "second"),
    ):
        if match[name]:
            number = numbers.number(match[name], is_count=True)
            parts.append(f"{number} {unit if match[name] == '1' else unit + 's'}")
    return " ".join(parts)


def _say_angle(match: Match[str]) -> str:
    parts = [f"{numbers.number(match['degrees'], is_count=True)} degrees"]
    parts.append(f"{numbers.number(match['minutes'], is_count=True)} minutes")
    if match["seconds"]:
        parts.append(f"{numbers.number(match['seconds'], is_count=True)} seconds")
    if match["side"]:
        parts.append(_SIDES[match["side"]])
    return " ".join(parts)


_ROADS = word_set("route rte rt highway hwy exit interstate road street st avenue ave")
_SIDES = {"N": "north", "S": "south", "E": "east", "W": "west"}


def _say_rate(match: Match[str]) -> str | None:
    """A unit such as m/s behind something else than a number."""
    if match["link"] != "/" or match["unit"] not in UNITS or match["per"] not in UNITS:
        return None
    if len(match["unit"]) < 2 and match["per"] not in ("s", "min", "h"):
        return None
    names = names_of(match)
    return names[1] if names else None


def _say_letter_degrees(match: Match[str]) -> str | None:
    """20C is a temperature, except for rooms, seats and the like."""
    if before(match).lower().rstrip(".") in PLACES:
        return None
    names = UNITS["°" + match["unit"]]
    return f"{numbers.number(match['number'], is_count=True)} {names[1]}"


def _say_amps(match: Match[str]) -> str | None:
    """2A is a current beside a voltage or before what has one; else a seat or a class."""
    has_current = _HAS_CURRENT.match(match.string[match.end() : match.endpos]) is not None
    behind = match.string[max(0, match.start() - 40) : match.start()]
    if not has_current and not _VOLTAGE.search(behind):
        return None
    is_one = match["number"] == "1" or has_current
    return f"{numbers.number(match['number'], is_count=True)} amp{'' if is_one else 's'}"


_VOLTAGE = re.compile(r"\d ?[mk]?V(?!\w)")
_HAS_CURRENT = re.compile(r" (?:fuse|breaker|circuit|current|charger|socket|outlet|load)")

# Before a number with a letter that names a place: Apt. 4B, Gate 20C.
PLACES = word_set(
    "rm ste bldg fl apt apartment suite unit room gate seat row flat exit building block platform"
)


def _say_sheet(match: Match[str]) -> str:
    """8.5" x 11" paper."""
    one, two = (numbers.number(match[name], is_count=True) for name in ("one", "two"))
    rest = match.string[match.end() : match.endpos]
    is_adjective = _NOUN.match(rest) and not _NO_NOUN.match(rest)
    return f"{one} by {two} inch{'' if is_adjective else 'es'}"


_SIZED = r"(?= ?(?:tall|long|wide|high|deep|thick|x|by|×)\b)"
_DURATION = (
    r"(?:(?P<days>\d+) ?d ?)?(?:(?P<hours>\d+) ?h(?:rs?)? ?)?"
    r"(?:(?P<minutes>\d+) ?m(?:ins?)?(?![a-zA-Z^/²³])\.? ?)?(?:(?P<seconds>\d+) ?s(?:ecs?)?)?"
)

_ONE = word_set("a an per")
BEGINS = rf"[-−.\d]|[lokgtqhmswy]|°[CF]|[NSEW](?!\w)|{SYMBOL}/|{'|'.join(ALONE)}"
RULES: list[Rule] = [
    rule(
        r"(?P<degrees>\d+)° ?(?P<minutes>\d+(?:\.\d+)?)'(?: ?(?P<seconds>\d+(?:\.\d+)?)\")?"
        r"(?: ?(?P<side>[NSEW])(?!\w))?",
        _say_angle,
        begins=r"\d+°",
        reach=3,
        goes_on=r"[\d.]+['\"].*|[NSEW][.,;]?",
    ),
    rule(
        rf"{FREE}(?=(?:\d+ ?[dhm][a-z]* ?)+\d+ ?[hms]){_DURATION}(?<=[a-z]){END}",
        _say_duration,
        begins=r"\d+(?:d|h|hrs?|m|mins?)(?:$|\d)",
        reach=3,
        goes_on=r"\d+(?:h|hrs?|m|mins?|s|secs?)[.,;:!?)]*",
    ),
    rule(
        rf"{FREE}(?P<feet>\d+)'(?: ?(?P<inches>\d{{1,2}}(?:\.\d+)?)(?:\"|''|(?!\d|'s)))",
        _say_feet,
        begins=r"\d+'",
        reach=1,
        goes_on=r"\d{1,2}(?:\.\d+)?(?:\"|'')[.,;:!?)]*",
    ),
    rule(
        rf"{FREE}(?P<one>\d+(?:\.\d+)?)\" ?[x×] ?(?P<two>\d+(?:\.\d+)?)\"",
        _say_sheet,
        begins=r"\d+(?:\.\d+)?\"(?:$|[x×])",
        reach=3,
        goes_on=r"[x×]|\d+(?:\.\d+)?\"",
    ),
    rule(rf"{FREE}(?P<feet>\d+)'(?P<inches>){_SIZED}", _say_feet, begins=r"\d+'$", reach=1),
    rule(
        rf"{FREE}(?P<number>\d+(?:\.\d+)?)(?:\"|'')"
        rf"(?={_SIZED}| ?(?:screen|display|monitor|tv|TV|pipe|nails?|laptop|wheels?))",
        lambda m: (
            f"{numbers.number(m['number'], is_count=True)} "
            + (
                "inch"
                if m["number"] == "1" or not re.match(_SIZED, m.string[m.end() : m.endpos])
                else "inches"
            )
        ),
        begins=r"\d+(?:\.\d+)?(?:\"|'')$",
        reach=1,
    ),
    rule(
        rf"{FREE}(?P<number>\d+(?:\.\d+)?)\"(?= \w)",
        lambda m: (
            f"{numbers.number(m['number'], is_count=True)} inch"
            if before(m).lower() in _DETERMINERS
            else None
        ),
        begins=r"[\d.]+\"$",
        reach=1,
    ),
    rule(rf"{FREE}(?P<number>\d\d\d?)(?P<unit>[CF]){END}", _say_letter_degrees),
    rule(
        rf"{FREE}(?P<number>\d+(?:\.\d+)?) ?A{END}",
        _say_amps,
        begins=r"\d+(?:\.\d+)?A?$",
        reach=2,
        goes_on="A",
    ),
    rule(
        rf"(?<![\w.,%°])(?P<minus>[-−])?(?P<number>{NUMBER})(?P<gap>[ -]?)"
        rf"(?:(?P<area>sq|cu|fl|square|cubic)\.? )?{UNIT}"
        rf"(?: (?P<below>{SYMBOL})\^-(?P<below_power>[123]))?"
        r"(?![A-Za-z\d^'])(?:\.(?=[,;:!?]|\) [a-z]| [\"'(]?(?:[a-z\d=]|[NS]?[EW]?(?!\w))))?",
        _say_quantity,
        begins=r"[-−]?[\d.,-]*\d(?:$|-?[a-zA-Zμ°%Ω])",
        reach=3,
        goes_on=_may_be_unit,
    ),
    rule(  # 3 c. flour
        rf"{FREE}(?P<number>{NUMBER}) (?P<unit>[ctT])\.(?= [a-z])",
        lambda m: (
            f"{numbers.number(m['number'], is_count=True)} {KITCHEN[m['unit']][m['number'] != '1']}"
        ),
        begins=r"[\d.]*\d$",
        reach=2,
        goes_on=r"[ctT]\.",
    ),
    rule(  # half a lb. of butter, per min
        r"(?<!\w)(?P<unit>lbs?|oz|kg|km|gal|tsp|tbsp|qt|hr|min|sec|wk|mo|yr|mi)"
        r"(?!\w)(?:\.(?=[,;:!?]| [\"'(]?[a-z\d]))?",
        lambda m: (unit_names(m["unit"]) or [None])[0] if before(m).lower() in _ONE else None,
        begins=r"(?:lbs?|oz|kg|km|gal|tsp|tbsp|qt|hr|min|sec|wk|mo|yr|mi)\.$",
        reach=1,
    ),
    rule(  # mol⁻¹
        rf"(?<=[\w] )(?P<unit>{SYMBOL})\^-(?P<power>[123])(?!\w)",
        lambda m: (
            f"per {names[0]}"
            if (names := unit_names(m["unit"] + m["power"].strip("1"))) is not None
            else None
        ),
    ),
    rule(r"(?<=\d°)[NSEW](?!\w)|(?<=\d° )[NSEW](?!\w)", lambda m: _SIDES[m[0]]),
    rule(r"(?<![\w°])°[CF](?!\w)", lambda m: UNITS[m[0]][1]),
    rule(rf"(?<![\w.,/]){UNIT}{END}(?![/.]\w)", _say_rate),
    rule(
        rf"(?<=x )(?P<feet>\d+)'(?P<inches>)(?!\w)|{FREE}(?P<feet_>\d+)'(?= x)",
        lambda m: f"{numbers.number(m['feet'] or m['feet_'], is_count=True)} feet",
        begins=r"\d+'$",
        reach=1,
    ),
    rule(
        rf"(?<![\w.,/])(?:{'|'.join(sorted(ALONE, key=len, reverse=True))}){END}(?![/.]\w)",
        lambda m: (unit_names(m[0]) or ("", ""))[1],
    ),
]
