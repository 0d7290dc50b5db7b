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
from functools import lru_cache
from re import Match

from sled.normalization import numbers
from sled.normalization.rules import END, FREE, NUMBER, Rule, before, rule, word_set

_PREFIXES = {
    "p": "pico",
    "n": "nano",
    "μ": "micro",
    "u": "micro",
    "m": "milli",
    "c": "centi",
    "d": "deci",
    "h": "hecto",
    "k": "kilo",
    "K": "kilo",
    "M": "mega",
    "G": "giga",
    "T": "tera",
    "P": "peta",
}
# Units that take prefixes: the name, its plural, the prefixes, and whether it stands without one.
_PREFIXED = {
    "m": ("meter", "meters", "nμumcdk", True),
    "g": ("gram", "grams", "nμumkM", True),
    "L": ("liter", "liters", "nμumcdh", True),
    "l": ("liter", "liters", "nμumcdh", True),
    "s": ("second", "seconds", "pnμum", True),
    "Hz": ("hertz", "hertz", "mkMGT", True),
    "hz": ("hertz", "hertz", "kmMGT", True),
    "W": ("watt", "watts", "μmkMGT", True),
    "V": ("volt", "volts", "μmkM", True),
    "A": ("amp", "amps", "nμumk", False),
    "Ω": ("ohm", "ohms", "mkKMG", True),
    "F": ("farad", "farads", "pnμum", False),
    "H": ("henry", "henries", "nμum", False),
    "J": ("joule", "joules", "mkMG", True),
    "N": ("newton", "newtons", "mkM", True),
    "Pa": ("pascal", "pascals", "hkMG", True),
    "bar": ("bar", "bars", "m", True),
    "B": ("byte", "bytes", "kKMGTP", False),
    "bit": ("bit", "bits", "kKMG", True),
    "bps": ("bit per second", "bits per second", "kKMGT", True),
    "Wh": ("watt hour", "watt hours", "mkMGT", True),
    "Ah": ("amp hour", "amp hours", "mk", True),
    "VA": ("volt amp", "volt amps", "kM", True),
    "eV": ("electron volt", "electron volts", "mkMGT", True),
    "cal": ("calorie", "calories", "k", True),
    "mol": ("mole", "moles", "nμumk", True),
    "Sv": ("sievert", "sieverts", "μum", True),
    "Bq": ("becquerel", "becquerels", "kMG", True),
    "Gy": ("gray", "grays", "mμ", True),
    "lm": ("lumen", "lumens", "k", True),
    "lx": ("lux", "lux", "k", True),
    "px": ("pixel", "pixels", "M", True),
    "t": ("ton", "tons", "kM", True),
    "T": ("tesla", "tesla", "mμ", False),
}
_OTHER = {
    "%": ("percent", "percent"),
    "‰": ("per mille", "per mille"),
    "°C": ("degree celsius", "degrees celsius"),
    "°F": ("degree fahrenheit", "degrees fahrenheit"),
    "°": ("degree", "degrees"),
    "K": ("kelvin", "kelvins"),
    "dB": ("decibel", "decibels"),
    "dBA": ("decibel A", "decibels A"),
    "dBm": ("decibel milliwatt", "decibel milliwatts"),
    "Å": ("angstrom", "angstroms"),
    "ha": ("hectare", "hectares"),
    "MP": ("megapixel", "megapixels"),
    "KiB": ("kibibyte", "kibibytes"),
    "MiB": ("mebibyte", "mebibytes"),
    "GiB": ("gibibyte", "gibibytes"),
    "TiB": ("tebibyte", "tebibytes"),
    "Mbit": ("megabit", "megabits"),
    "Gbit": ("gigabit", "gigabits"),
    "Mb": ("megabit", "megabits"),
    "Gb": ("gigabit", "gigabits"),
    "kb": ("kilobit", "kilobits"),
    "gb": ("gigabyte", "gigabytes"),
    "mb": ("megabyte", "megabytes"),
    "tb": ("terabyte", "terabytes"),
    "h": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"),
    "min": ("minute", "minutes"),
    "mins": ("minute", "minutes"),
    "sec": ("second", "seconds"),
    "secs": ("second", "seconds"),
    "wk": ("week", "weeks"),
    "wks": ("week", "weeks"),
    "mo": ("month", "months"),
    "mos": ("month", "months"),
    "yr": ("year", "years"),
    "yrs": ("year", "years"),
    "in": ("inch", "inches"),
    "ft": ("foot", "feet"),
    "yd": ("yard", "yards"),
    "yds": ("yard", "yards"),
    "mi": ("mile", "miles"),
    "nmi": ("nautical mile", "nautical miles"),
    "ac": ("acre", "acres"),
    "oz": ("ounce", "ounces"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "gal": ("gallon", "gallons"),
    "qt": ("quart", "quarts"),
    "qts": ("quart", "quarts"),
    "pt": ("point", "points"),
    "pts": ("point", "points"),
    "tbsp": ("tablespoon", "tablespoons"),
    "tbsps": ("tablespoon", "tablespoons"),
    "Tbsp": ("tablespoon", "tablespoons"),
    "tbs": ("tablespoon", "tablespoons"),
    "tsp": ("teaspoon", "teaspoons"),
    "tsps": ("teaspoon", "teaspoons"),
    "cc": ("cubic centimeter", "cubic centimeters"),
    "mph": ("mile per hour", "miles per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "kmh": ("kilometer per hour", "kilometers per hour"),
    "kmph": ("kilometer per hour", "kilometers per hour"),
    "mpg": ("mile per gallon", "miles per gallon"),
    "kt": ("knot", "knots"),
    "kts": ("knot", "knots"),
    "kn": ("knot", "knots"),
    "fps": ("frame per second", "frames per second"),
    "rpm": ("revolution per minute", "revolutions per minute"),
    "RPM": ("revolution per minute", "revolutions per minute"),
    "bpm": ("beat per minute", "beats per minute"),
    "BPM": ("beat per minute", "beats per minute"),
    "wpm": ("word per minute", "words per minute"),
    "psi": ("pound per square inch", "pounds per square inch"),
    "ppm": ("part per million", "parts per million"),
    "ppb": ("part per billion", "parts per billion"),
    "dpi": ("dot per inch", "dots per inch"),
    "ppi": ("pixel per inch", "pixels per inch"),
    "hp": ("horsepower", "horsepower"),
    "kcals": ("kilocalorie", "kilocalories"),
    "MBps": ("megabyte per second", "megabytes per second"),
    "GBps": ("gigabyte per second", "gigabytes per second"),
    "Nm": ("newton meter", "newton meters"),
    "lb-ft": ("pound foot", "pound feet"),
    "ft-lb": ("foot pound", "foot pounds"),
    "ft-lbs": ("foot pound", "foot pounds"),
    "atm": ("atmosphere", "atmospheres"),
    "fl oz": ("fluid ounce", "fluid ounces"),
}


def _all_units() -> dict[str, tuple[str, str]]:
    units = {}
    for symbol, (one, many, prefixes, is_alone) in _PREFIXED.items():
        if is_alone:
            units[symbol] = (one, many)
        for prefix in prefixes:
            name = _PREFIXES[prefix]
            units[prefix + symbol] = (name + one, name + many)
    return units | {"kΩ": ("kilohm", "kilohms"), "MΩ": ("megohm", "megohms")} | _OTHER


UNITS = _all_units()
_LENGTHS = {symbol for symbol in UNITS if symbol.endswith("m") and UNITS[symbol][0][-5:] == "meter"}
_LENGTHS |= {"in", "ft", "yd", "mi"}
# Only these are said in words where no number stands before them.
_ALONE = word_set(
    "kWh MWh GWh kHz MHz GHz Hz km/h mph kph kcal mAh kbps Mbps Gbps kg mg km cm mm dB kW MW "
    "GW KB MB GB TB GiB MiB KiB ml mL"
)
_SQUARES = {"sq": "square", "square": "square", "cu": "cubic", "cubic": "cubic"}
_POWERS = {"2": "square", "3": "cubic"}

_SYMBOL = r"(?:°[CF]?|[%‰]|(?:lb-ft|ft-lbs?)|[A-Za-zμΩÅ]+)"
_POWER = r"(?:\^?(?P<{0}>[23])(?!\d))?"
_UNIT = (
    rf"(?P<unit>{_SYMBOL}){_POWER.format('power')}"
    rf"(?:(?P<link>[/·])(?P<per>{_SYMBOL}){_POWER.format('per_power')})?"
)
_SYMBOL_PARTS = re.compile(_UNIT)


@lru_cache(maxsize=1000)
def unit_names(text: str) -> tuple[str, str] | None:
    """The names of a unit such as km, m² or MB/s, singular and plural; None for no unit."""
    match = _SYMBOL_PARTS.fullmatch(text)
    return _names(match) if match else None


def _names(match: Match[str]) -> tuple[str, str] | None:
    names = _power(match["unit"], match["power"])
    if names is None or match["per"] is None:
        return names
    per = _power(match["per"], match["per_power"])
    if per is None:
        if match["per"] not in _COUNTED and len(match["per"]) < 3:
            return None
        per = match["per"], match["per"]
    if match["link"] == "·":
        return f"{names[0]} {per[0]}", f"{names[0]} {per[1]}"
    return f"{names[0]} per {per[0]}", f"{names[1]} per {per[0]}"


_COUNTED = {"s", "h", "d"}


def _power(symbol: str, power: str | None) -> tuple[str, str] | None:
    names = UNITS.get(symbol)
    if names is None or power is None:
        return names
    if symbol in _LENGTHS:
        return f"{_POWERS[power]} {names[0]}", f"{_POWERS[power]} {names[1]}"
    squared = "squared" if power == "2" else "cubed"
    return f"{names[0]} {squared}", f"{names[1]} {squared}"


_HAS_INCHES = re.compile(
    r"\.?(?: =| (?:long|tall|wide|high|deep|thick|x|by|×|of|in diameter|pipe|screen|display)\b"
    r"|[\"')]*$|[,;:)])"
)
_AFTER_FEET = re.compile(r"\b(?:ft\.?|feet|foot|')$")


def _may_be_unit(text: str) -> bool:
    word = text.rpartition(" ")[2].rstrip(".,;:!?)")
    return word in _SQUARES or word == "fl" or unit_names(word) is not None


def _say_quantity(match: Match[str]) -> str | None:
    number, gap, unit = match["number"], match["gap"], match["unit"]
    rest = match.string[match.end("unit") : match.endpos]
    if unit == "in" and not match["area"]:
        is_certain = gap == "" or gap == "-" or _AFTER_FEET.search(before(match))
        if not is_certain and not (_HAS_INCHES.match(rest) and rest[:1] != ""):
            return None
    if gap == "" and unit == "K":
        return None  # thousands
    if unit == "N" and match.string[max(0, match.start() - 1) : match.start()] == "-":
        return None  # I-95 N.
    if match["area"] == "fl":
        names = UNITS["fl oz"] if unit == "oz" else None
    else:
        names = unit_names(_unit_text(match))
    if names is None:
        return None
    if match["area"] in _SQUARES:
        names = (f"{_SQUARES[match['area']]} {names[0]}", f"{_SQUARES[match['area']]} {names[1]}")
    is_one = number == "1" or gap == "-" or _is_adjective(match)
    words = f"{numbers.number(number, is_count=True)} {names[0] if is_one else names[1]}"
    return f"minus {words}" if match["minus"] else words


def _unit_text(match: Match[str]) -> str:
    text: str = match["unit"] + (match["power"] or "")
    if match["per"]:
        text += match["link"] + match["per"] + (match["per_power"] or "")
    return text


_NOUN = re.compile(r" [a-z]{3,}")
_NO_NOUN = re.compile(
    r" (?:and|for|from|with|into|than|that|per|was|were|are|away|ago|later|long|tall|wide|high|deep"
    r"|thick|off|under|over|above|below|more|less|each|every|about|before|after|the|when|while"
    r"|because|but|until|of)"
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


_SIDES = {"N": "north", "S": "south", "E": "east", "W": "west"}


def _say_rate(match: Match[str]) -> str | None:
    """A unit such as m/s behind something else than a number."""
    if match["link"] != "/" or match["unit"] not in UNITS or match["per"] not in UNITS:
        return None
    if len(match["unit"]) < 2 and match["per"] not in ("s", "min", "h"):
        return None
    names = _names(match)
    return names[1] if names else None


def _say_letter_degrees(match: Match[str]) -> str | None:
    """20C is a temperature, except for rooms, seats and the like."""
    if before(match).lower().rstrip(".") in PLACES:
        return None
    names = UNITS["°" + match["unit"]]
    return f"{numbers.number(match['number'], is_count=True)} {names[1]}"


# Before a number with a letter that names a place: Apt. 4B, Gate 20C.
PLACES = word_set("apt apartment suite unit room gate seat row flat exit building block platform")
_SIZED = r"(?= ?(?:tall|long|wide|high|deep|thick|x|by|×)\b)"
_DURATION = (
    r"(?:(?P<days>\d+) ?d ?)?(?:(?P<hours>\d+) ?h(?:rs?)? ?)?"
    r"(?:(?P<minutes>\d+) ?m(?:ins?)?(?![a-zA-Z^/²³])\.? ?)?(?:(?P<seconds>\d+) ?s(?:ecs?)?)?"
)

BEGINS = rf"[-−.\d]|°[CF]|[NSEW](?!\w)|{_SYMBOL}/|{'|'.join(_ALONE)}"
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
        rf"{FREE}(?P<number>\d+)\"(?= [a-z])",
        lambda m: (
            f"{numbers.number(m['number'], is_count=True)} inch"
            if before(m).lower() in _DETERMINERS
            else None
        ),
        begins=r"\d+\"$",
        reach=1,
    ),
    rule(rf"{FREE}(?P<number>\d\d\d?)(?P<unit>[CF]){END}", _say_letter_degrees),
    rule(
        rf"(?<![\w.,%°])(?P<minus>[-−])?(?P<number>{NUMBER})(?P<gap>[ -]?)"
        rf"(?:(?P<area>sq|cu|fl|square|cubic)\.? )?{_UNIT}"
        r"(?![A-Za-z\d^'])(?:\.(?=[,;:!?]| [\"'(]?(?:[a-z\d=]|[NS]?[EW]?(?!\w))))?",
        _say_quantity,
        begins=r"[-−]?[\d.,-]*\d(?:$|-?[a-zA-Zμ°%Ω])",
        reach=3,
        goes_on=_may_be_unit,
    ),
    rule(r"(?<=\d°)[NSEW](?!\w)|(?<=\d° )[NSEW](?!\w)", lambda m: _SIDES[m[0]]),
    rule(r"(?<![\w°])°[CF](?!\w)", lambda m: UNITS[m[0]][1]),
    rule(rf"(?<![\w.,/]){_UNIT}{END}(?![/.]\w)", _say_rate),
    rule(
        rf"(?<=x )(?P<feet>\d+)'(?P<inches>)(?!\w)|{FREE}(?P<feet_>\d+)'(?= x)",
        lambda m: f"{numbers.number(m['feet'] or m['feet_'], is_count=True)} feet",
        begins=r"\d+'$",
        reach=1,
    ),
    rule(
        rf"(?<![\w.,/])(?:{'|'.join(sorted(_ALONE, key=len, reverse=True))}){END}(?![/.]\w)",
        lambda m: (unit_names(m[0]) or ("", ""))[1],
    ),
]
