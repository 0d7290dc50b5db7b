"""The names of units, with prefixes and powers: km, m², MB/s, N·m."""

from __future__ import annotations

import re
from functools import lru_cache

from sled.normalization.rules import spell, word_set

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
    "pp": ("percentage point", "percentage points"),
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
    "IU": (spell("IU"), spell("IU")),
    "mcg": ("microgram", "micrograms"),
    "mM": ("millimolar", "millimolar"),
    "μM": ("micromolar", "micromolar"),
    "nM": ("nanomolar", "nanomolar"),
    "Mly": ("million light years", "million light years"),
    "Ma": ("million years", "million years"),
    "Myr": ("million years", "million years"),
    "Gyr": ("billion years", "billion years"),
    "U": ("unit", "units"),
    "ov": ("over", "overs"),
    "bbl": ("barrel", "barrels"),
    "ct": ("count", "count"),
    "Ga": ("billion years", "billion years"),
    "INT": ("interception", "interceptions"),
    "reb": ("rebound", "rebounds"),
    "ast": ("assist", "assists"),
    "inn": ("inning", "innings"),
    "BR": ("bedroom", "bedrooms"),
    "bdrm": ("bedroom", "bedrooms"),
    "bd": ("bedroom", "bedrooms"),
    "BA": ("bath", "baths"),
    "ba": ("bath", "baths"),
    "pct": ("percent", "percent"),
    "bps": ("basis point", "basis points"),
    "bp": ("basis point", "basis points"),
    "sqft": ("square foot", "square feet"),
    "sqm": ("square meter", "square meters"),
    "d": ("day", "days"),
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
    "kgs": ("kilogram", "kilograms"),
    "lbs": ("pound", "pounds"),
    "ga": ("gauge", "gauge"),
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
    "inHg": ("inch of mercury", "inches of mercury"),
    "ly": ("light year", "light years"),
    "AU": ("astronomical unit", "astronomical units"),
    "pcs": ("piece", "pieces"),
    "doz": ("dozen", "dozen"),
    "dz": ("dozen", "dozen"),
    "kDa": ("kilodalton", "kilodaltons"),
    "pk": ("pack", "pack"),
    "mmHg": ("millimeter of mercury", "millimeters of mercury"),
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
ALONE = word_set(
    "kWh MWh GWh kHz MHz GHz Hz km/h mph kph kcal mAh kbps Mbps Gbps kg mg km cm mm dB kW MW "
    "GW KB MB GB TB GiB MiB KiB ml mL mmHg lbs yrs kgs tsp tbsp"
)
# Units of recipes, with a full stop.
KITCHEN = {
    "c": ("cup", "cups"),
    "t": ("teaspoon", "teaspoons"),
    "T": ("tablespoon", "tablespoons"),
    "pt": ("pint", "pints"),
    "pts": ("pint", "pints"),
}
# What is measured in cups without a point behind the c: 2 C flour.
INGREDIENTS = (
    "flour|sugar|milk|water|butter|oil|cream|rice|cheese|broth|stock|oats|nuts|chocolate|cocoa"
    "|honey"
)
SIZES = {"lg": "large", "lge": "large", "med": "medium", "sm": "small"}
SQUARES = {"sq": "square", "square": "square", "cu": "cubic", "cubic": "cubic"}
_POWERS = {"2": "square", "3": "cubic"}

# What is counted in thousands and millions: 5m views, 10k followers.
COUNTED = (
    "followers|views|users|people|subscribers|downloads|copies|viewers|likes|customers|members|fans"
    "|dollars|euros|pounds|rows|records|tokens|parameters|params|requests|jobs|units|shares|barrels"
    "|visitors|players|staff|employees|workers|homes|households|deaths|cases|doses|listeners|readers"
    "|passengers|tourists|children|students|pupils|patients|voters|citizens|consumers|women|men"
    "|refugees|streams|plays|clicks|impressions|installs|accounts|vehicles|cars|devices|viewers|sales|tons|tonnes|votes|years|residents|inhabitants|samples|words|songs|hits"
)

# What is run or swum over a distance: a 4x100m relay, 100m freestyle.
SPORTS = (
    r" (?:run|bike|marathon|trek|march|cycle|dash|sprint|relay|hurdles|steeplechase|swim|freestyle"
    r"|butterfly|backstroke|breaststroke|medley|final|heats?|time trial|row|ski)\b"
)

SYMBOL = r"(?:°[CF]?|[%‰]|(?:lb-ft|ft-lbs?)|[A-Za-zμΩÅ]+)"
_POWER = r"(?:\^?[23](?!\d))?"
_FACTOR = rf"{SYMBOL}{_POWER}"
# 350°F/gas mark 4 is no rate.
_PER_DEGREE = "(?:s|min|h|hr|k?m|W|day|hour|minute|second|month|year|decade|century)"
UNIT = (
    rf"(?P<unit>{SYMBOL})(?P<power>{_POWER})"
    rf"(?P<more>(?:(?:(?<!°[CF])|(?=/{_PER_DEGREE}(?!\w)))"
    rf"(?:[/·]{_FACTOR}|/\({_FACTOR}(?:[· ]{_FACTOR})+\)|(?<=\^[23])K))*)"
)
# M⁻¹cm⁻¹
INVERSE = rf"{SYMBOL}\^-[123](?:[· ]?{SYMBOL}\^-[123])*"
_FACTORS = re.compile(rf"({SYMBOL})(?:\^?(-?)([123]))?")
_GAPS = re.compile(r"[· ]|(?<=[23])(?=K$)|(?<=-\d)(?=\D)")
_RATES = {"s", "h", "d"}


@lru_cache(maxsize=1000)
def unit_names(text: str) -> tuple[str, str] | None:
    """The names of a unit such as km, m², MB/s, J/(kg·K) or m s⁻², singular and plural.

    None for no unit.
    """
    above, *below = text.split("/")
    names = _product(above)
    if names is None:
        return None
    per = ""
    for part in below:
        divisor = _product(part.strip("()"))
        if divisor is None and part not in _RATES and not (part.isalpha() and len(part) > 2):
            return None
        per += f" per {divisor[0] if divisor else part}"
    return names[0] + per, names[1] + per


def _product(text: str) -> tuple[str, str] | None:
    """The names of a product of units: N·m, m²K, m s⁻²."""
    if text not in UNITS and text.endswith("K") and text[:-1] in UNITS:  # kg of J/kgK
        text = f"{text[:-1]}·K"
    said: list[str] = []
    plural: list[str] = []
    for factor in _GAPS.split(text):
        match = _FACTORS.fullmatch(factor)
        names = _power(match[1], match[3], below=match[2] == "-") if match else None
        if match is None or names is None:
            return None
        if match[2]:
            said.append(f"per {names[0]}")
            plural.append(said[-1])
        else:
            plural = [*said, names[1]]
            said.append(names[0])
    return " ".join(said), " ".join(plural)


def _power(symbol: str, power: str | None, *, below: bool = False) -> tuple[str, str] | None:
    names = UNITS.get(symbol) or (("molar", "molar") if symbol == "M" and below else None)
    if names is None or power in (None, "1"):
        return names
    if symbol in _LENGTHS:
        return f"{_POWERS[power]} {names[0]}", f"{_POWERS[power]} {names[1]}"
    squared = "squared" if power == "2" else "cubed"
    return f"{names[0]} {squared}", f"{names[1]} {squared}"
