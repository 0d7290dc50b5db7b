"""Quantities: numbers with units.

5 m, 200g, 2L, 60W, 100 kWh   five meters, two hundred grams, two liters, sixty watts, ...
30 m/s, 9.8 m/s², 5 MB/s      thirty meters per second, ... per second squared, ...
50 m², 5 sq ft, 3 cm³         fifty square meters, five square feet, three cubic centimeters
−10 °C, 50%, 45°              minus ten degrees celsius, fifty percent, forty-five degrees
5'10", 6 ft. 2 in.            five foot ten, six feet two inches
2 tbsp. of oil                two tablespoons of oil
a 5 km run, a 60W bulb        a five kilometer run, a sixty watt bulb
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.kinds.fractions import fraction
from sled.normalization.kinds.money import MAGNITUDES
from sled.normalization.kinds.short_forms import SIDES
from sled.normalization.kinds.unit_names import (
    ALONE,
    COUNTED,
    INGREDIENTS,
    INVERSE,
    KITCHEN,
    SIZES,
    SPORTS,
    SQUARES,
    SYMBOL,
    UNIT,
    UNITS,
    unit_names,
)
from sled.normalization.rules import END, FREE, NUMBER, Rule, before, rule, so_far, word_set

_HAS_INCHES = re.compile(
    r"\.?(?: =| (?:long|tall|wide|high|deep|thick|x|by|×|of|in diameter|pipe|screen|display)\b"
    r"|[\"')]*$|[,;:)])"
)
_IS_COUNTED = re.compile(rf"[ -](?:{COUNTED})\b")
_AFTER_FEET = re.compile(r"\b(?:ft\.?|feet|foot|')$")


def _may_be_unit(text: str) -> bool:
    word = text.rpartition(" ")[2].rstrip(".,;:!?)")
    if word in SQUARES or word == "fl" or unit_names(word) is not None:
        return True
    above, opened, below = word.partition("/(")  # J/(mol K)
    return opened != "" and all(map(unit_names, (above, below)))


def _say_quantity(match: Match[str]) -> str | None:
    number, gap, unit = match["number"], match["gap"], match["unit"]
    rest = match.string[match.end("unit") : match.endpos]
    if unit == "in" and re.match(r"-\d", rest):
        return None  # a 1-in-100-year flood
    if unit == "in" and not match["area"] and not match["power"]:
        is_certain = gap == "" or gap == "-" or _AFTER_FEET.search(before(match))
        if not is_certain and not (_HAS_INCHES.match(rest) and rest[:1] != ""):
            return None
    if unit == "U" and re.match(r"\.\w", rest):
        return None  # 410 U.S. 113
    if gap == " " and unit in SIDES and re.match(r"\.? (?:[A-Z]|\d+(?:st|nd|rd|th)\b)", rest):
        return None  # 5 N. Main St.
    past = match.string[: match.start("number")]
    if unit == "s" and gap == "" and (re.search(r"\w-$", past) or re.fullmatch("7[0-8]7", number)):
        return None  # under-12s, F-16s, 747s
    if unit == "m" and gap == "" and _IS_COUNTED.match(rest):
        return None  # 5m views
    if gap != "-" and unit in ("t", "T", "pt", "pts") and _IN_RECIPE.match(f"{number}{rest}"):
        return None  # 1 pt. cream
    if unit == "W" and gap == "" and re.match(r"-[1-9]0(?!\w)", rest) and len(number) < 3:
        return None  # 10W-30
    if gap == "" and unit == "d" and number in ("2", "3", "4"):
        return None  # in 3d
    if gap in ("", "-") and unit == "K" or gap == "" and unit in ("ac", "U") and not match["more"]:
        return None  # thousands, a form 10-K, 802.11ac, 2U
    if unit == "N" and match.string[max(0, match.start() - 1) : match.start()] == "-":
        return None  # I-95 N.
    if unit in SIDES and before(match).lower().rstrip(".") in _ROADS:
        return None  # Route 3 W.
    if match["area"] == "fl":
        names = UNITS["fl oz"] if unit == "oz" else None
    else:
        names = unit_names(_unit_text(match))
    if names is None:
        return None
    if match["area"] in SQUARES:
        names = (f"{SQUARES[match['area']]} {names[0]}", f"{SQUARES[match['area']]} {names[1]}")
    is_one = number == "1" or gap == "-" or _is_adjective(match) or _MEASURED_NOUN.match(rest)
    words = f"{numbers.count(number)} {names[0] if is_one else names[1]}"
    return f"minus {words}" if match["minus"] else words


def _unit_text(match: Match[str]) -> str:
    return "".join(match[name] or "" for name in ("unit", "power", "more", "below"))


_NOUN = re.compile(r" (?:[a-z]{3,}|[A-Z]\w+)")
# What often has a quantity before it, also without an article: 5 min walk.
_MEASURED_NOUN = re.compile(
    r" (?:walk|drive|ride|read|break|video|call|timer|delay|flight|layover|jog|hike|commute|workout"
    r"|session|interval|nap|film|movie|warranty|guarantee|lease|lens|jack|bulb|charger|ladder|pole"
    r"|race|trail|radius|lots?|charging|charge|fast charg(?:ing|er)|USB|LED|tins?|cans?|bottles?"
    r"|bags?|tanks?|potholes?|tablets?|capsules?|pills?|doses?|winds?|gusts?|zones?|class|category|division"
    rf")\b|{SPORTS}"
)
_NO_NOUN = re.compile(
    r" (?:and|for|from|with|into|than|that|per|was|were|are|away|ago|later|long|tall|wide|high|deep"
    r"|thick|off|under|over|above|below|more|less|each|every|about|before|after|the|when|while"
    r"|because|but|until|of|back|plus|since|without|through|between|during|apart"
    r"|today|tomorrow|via|along|across|around|again|just|only|even|still|both|has|had|have"
    r"|would|should|could|does|did|who|which|where|this|they|she|you|not|out|down"
    r"|required|needed|available|worth|instead|though|already)\b"
)


_MEASURED = word_set("w: h: d: l: width: height: depth: length: diameter: size: width height x by")
_FEW = word_set("two three four five six seven eight nine ten")
_IN_RECIPE = re.compile(r"\d\d?\. (?!to\b|in\b|at\b|on\b|up\b|down\b|ahead\b)[a-z]{3,}")
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
    if match["inches"] and "." not in match["inches"] and int(match["inches"]) > 11:  # 3'45"
        return f"{feet} minutes {numbers.number(match['inches'])} seconds"
    if match["inches"]:
        return f"{feet} foot {numbers.number(match['inches'], is_count=True)}"
    return f"{feet} foot" if match["feet"] == "1" or _is_tall(match) else f"{feet} feet"


def _is_tall(match: Match[str]) -> bool:
    return match.string[match.end() : match.endpos].startswith(" tall")


_ROADS = word_set("route rte rt highway hwy exit interstate road street st avenue ave")
_DIRECTIONS = {"W": "wide", "D": "deep", "H": "high", "L": "long"}


def _say_rate(match: Match[str]) -> str | None:
    """A unit such as m/s behind something else than a number."""
    above, slash, below = match[0].partition("/")
    if not slash or above not in UNITS or below not in UNITS:
        return None
    if len(above) < 2 and below not in ("s", "min", "h"):
        return None
    names = unit_names(match[0])
    return names[1] if names else None


def _say_letter_degrees(match: Match[str]) -> str | None:
    """20C is a temperature, except for rooms, seats and the like."""
    if before(match).lower().rstrip(".") in PLACES:
        return None
    names = UNITS["°" + (match["unit"] or "F")]
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
    sides = [_inches(match[name]) for name in ("one", "two", "three") if match[name]]
    rest = match.string[match.end() : match.endpos]
    is_adjective = _NOUN.match(rest) and not _NO_NOUN.match(rest)
    names = UNITS["ft" if match["mark"] == "'" else "in"]
    return f"{' by '.join(sides)} {names[not is_adjective]}"


def _inches(text: str) -> str:
    """A number of inches, such as 8.5, 3 1/2 or 5/8."""
    whole, _, part = text.replace("-", " ").rpartition(" ")
    if "/" not in part:
        return numbers.number(part, is_count=True)
    said = fraction(*map(int, part.split("/")))
    return f"{numbers.cardinal(whole)} and {said}" if whole else said


_INCHES = r"(?:(?:\d+[ -])?\d{1,2}/\d{1,2}|\d+(?:\.\d+)?)"
# What has a size in inches.
_IN_INCHES = (
    "screen|display|monitor|tv|TV|4K|8K|LED|LCD|OLED|QLED|HD|MacBook|iPad|iMac|tablet|laptop|pipe"
    "|nails?|wheels?|rims?|tires?|pan|pot|skillet|pizza|cake|pie|rounds?|tortillas?|subs?|blade"
    "|knife|tiles?|boards?|speakers?|bolts?|screws?|hose|ribbon|gun|guns|heels?|vinyl|diag|diagonal"
    "|margins?|borders?|AMOLED|Retina|IPS|touchscreen"
)
_FILLING = "oil|water|rain|rainfall|snow|ice|space|clearance|soil|mulch|sand|gravel|foam|fabric"
_SIZED = r"(?= ?(?:(?:tall|long|wide|high|deep|thick|x|by|each|apart)\b|×))"
_ONE = word_set("a an per")
_IN_TIME = word_set("last this next past each every")  # last yr.


def _say_counted_unit(match: Match[str]) -> str | None:
    """The unit behind an article, or behind more than a number: a lb., 6+ mos."""
    names, previous = unit_names(match["unit"]), before(match)
    if names is None:
        return None
    if previous.lower() in _ONE and match[0] != "sec":  # a sec
        return names[0]
    if previous.lower() in _IN_TIME and match["unit"] in ("yr", "mo", "wk", "hr"):
        return names[0]
    is_counted = re.fullmatch(rf"\(?\d+\+|{MAGNITUDES}", previous) is not None
    return names[1] if is_counted else None


BEGINS = rf"[-−.\d]|[lokgtqhmswy]|°[CF]|{SYMBOL}/|{'|'.join(ALONE)}"
RULES: list[Rule] = [
    rule(
        rf"{FREE}(?P<feet>\d+)'(?: ?(?P<inches>\d{{1,2}}(?:\.\d+)?)(?:\"|''|(?!\d|'s)))",
        _say_feet,
        begins=r"\d+'",
        reach=1,
        goes_on=r"\d{1,2}(?:\.\d+)?(?:\"|'')[.,;:!?)]*",
    ),
    rule(
        rf"{FREE}(?P<one>{_INCHES})(?P<mark>[\"'])? ?[x×] ?(?P<two>{_INCHES})"
        rf"(?(mark)(?P=mark)|\")(?!\d)(?: ?[x×] ?(?P<three>{_INCHES})(?(mark)(?P=mark)|\")(?!\d))?",
        _say_sheet,
        begins=rf"{_INCHES}[\"']?(?:$|[x×])",
        reach=8,
        goes_on=so_far(
            rf"(?:\d+|{_INCHES}[\"']?(?: ?[x×](?: ?{_INCHES}[\"']?"
            rf"(?: ?[x×](?: ?{_INCHES}[\"']?)?)?)?)?)"
        ),
    ),
    rule(rf"{FREE}(?P<feet>\d+)'(?P<inches>){_SIZED}", _say_feet, begins=r"\d+'$", reach=1),
    rule(
        rf"{FREE}(?<!\")(?P<number>\d+(?:\.\d+)?)(?:\"|'')"
        rf"(?={_SIZED}| ?(?:{_IN_INCHES})\b| of (?:{_FILLING})\b)",
        lambda m: (
            f"{numbers.number(m['number'], is_count=True)} "
            + (
                "inch"
                if m["number"] == "1"
                or not re.match(rf"{_SIZED}| of", m.string[m.end() : m.endpos])
                else "inches"
            )
        ),
        begins=r"\d+(?:\.\d+)?(?:\"|'')$",
        reach=2,
        goes_on="of",
    ),
    rule(
        rf"{FREE}(?<!\")(?P<number>\d+(?:\.\d+)?)\"(?= \w)",
        lambda m: (
            f"{numbers.number(m['number'], is_count=True)} inch"
            if before(m).lower() in _DETERMINERS | _FEW or re.search(r"\d-$", before(m))
            else None
        ),
        begins=r"[\d.]+\"$",
        reach=1,
    ),
    rule(rf"{FREE}(?P<number>\d\d\d?)(?P<unit>[CF]){END}", _say_letter_degrees),
    rule(  # 375 deg. F, at 325 F
        rf"{FREE}(?P<number>\d{{1,3}})(?: ?deg\.? ?(?P<unit>[CF])(?!\w)"
        r"|(?<=\d{3}) (?P<fahrenheit>F)(?=[,;:)]|$|\.$| (?:for|until|oven)\b))",
        _say_letter_degrees,
        begins=r"\d{1,3}$",
        reach=2,
        goes_on=r"deg\.?|F",
    ),
    rule(
        rf"{FREE}(?P<number>\d+(?:\.\d+)?) ?A{END}",
        _say_amps,
        begins=r"\d+(?:\.\d+)?A?$",
        reach=2,
        goes_on="A",
    ),
    rule(
        rf"(?<![\w.,%°])(?P<minus>[-−])?(?P<number>{NUMBER})(?P<gap>[ ]?|(?P<hyphen>-))"
        rf"(?:(?P<area>sq|cu|fl|square|cubic)\.?[ -])?{UNIT}"
        rf"(?P<below>(?: {SYMBOL}\^-[123])*)"
        r"(?![A-Za-z\d^'])(?(hyphen)\.?|)"
        r"(?:\.(?=[,;:!?/]|\) [a-z]| [\"'(]?(?:[a-z\d=]|[NS]?[EW]?(?!\w))))?",
        _say_quantity,
        begins=r"[-−]?[\d.,-]*\d(?:$|-?[a-zA-Zμ°%Ω])",
        reach=3,
        goes_on=_may_be_unit,
    ),
    rule(  # 24"W x 18"D
        rf"{FREE}(?P<number>{_INCHES})\" ?(?P<side>[WDHL])(?![\w'.:])",
        lambda m: (
            f"{_inches(m['number'])} inch{'es' * (m['number'] != '1')} {_DIRECTIONS[m['side']]}"
        ),
        begins=rf"{_INCHES}\"$",
        reach=1,
    ),
    rule(  # W: 24"
        rf"{FREE}(?P<number>{_INCHES})\"(?!\w)",
        lambda m: (
            f"{_inches(m['number'])} inch{'es' * (m['number'] != '1')}"
            if before(m).lower() in _MEASURED
            else None
        ),
    ),
    rule(  # 2 lg eggs
        r"(?<=\d )(?P<size>lge?|sm|med)(?!\w)\.?(?= [a-z])",
        lambda m: SIZES[m["size"]],
        begins=r"(?:lge?|sm|med)\.?$",
        reach=1,
    ),
    rule(  # 2 C flour
        rf"{FREE}(?P<number>{NUMBER}) [cC](?= (?:{INGREDIENTS})\b)",
        lambda m: f"{numbers.count(m['number'])} cup{'s' * (m['number'] != '1')}",
        begins=r"\d+$",
        reach=2,
        goes_on="[cC]",
    ),
    rule(
        r"(?<![\w.,/-])(?:km|mi)(?= \d)",
        lambda m: UNITS[m[0]][0],
        begins="(?:km|mi)$",
        reach=1,
    ),
    rule(  # 6,220 M⁻¹cm⁻¹
        rf"{FREE}(?P<number>{NUMBER}) ?(?P<unit>{INVERSE}){END}",
        lambda m: (
            f"{numbers.count(m['number'])} {names[1]}" if (names := unit_names(m["unit"])) else None
        ),
        begins=r"[\d.,]*\d(?:$|[A-Za-z]+\^-)",
        reach=3,
        goes_on=r"\S*\^-[123]",
    ),
    rule(  # 3 c. flour
        rf"{FREE}(?P<number>{NUMBER}) (?P<unit>[ctT]|pts?)\.(?= of\b|(?!{_NO_NOUN.pattern}) [a-z])",
        lambda m: (
            f"{numbers.number(m['number'], is_count=True)} {KITCHEN[m['unit']][m['number'] != '1']}"
        ),
        begins=r"[\d.]*\d$",
        reach=2,
        goes_on=r"(?:[ctT]|pts?)\.",
    ),
    rule(  # half a lb. of butter, per min
        r"(?<!\w)(?P<unit>lbs?|oz|kg|km|gal|tsp|tbsp|qt|hrs?|mins?|secs?|wks?|mos?|yrs?|mi|ft)"
        r"(?!\w)(?:\.(?=[,;:!?]| [\"'(]?[a-z\d]))?",
        _say_counted_unit,
        begins=r"(?:lbs?|oz|kg|km|gal|tsp|tbsp|qt|hrs?|mins?|secs?|wks?|mos?|yrs?|mi|ft)\.$",
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
    rule(r"(?<![\w°])°[CF](?!\w)", lambda m: UNITS[m[0]][1]),
    rule(rf"(?<![\w.,/]){UNIT}{END}(?![/.]\w)", _say_rate),
    rule(
        rf"(?<=x )(?P<feet>\d+)'(?P<inches>)(?!\w)|{FREE}(?P<feet_>\d+)'(?= x)",
        lambda m: f"{numbers.number(m['feet'] or m['feet_'], is_count=True)} feet",
        begins=r"\d+'$",
        reach=1,
    ),
    rule(
        rf"(?<![\w.,/])(?:{'|'.join(sorted(ALONE, key=len, reverse=True))}){END}(?![/.]\w|-h?mm)",
        lambda m: (unit_names(m[0]) or ("", ""))[1],
    ),
]
