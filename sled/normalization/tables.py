"""What English words, signs and abbreviations stand for.

Abbreviations are listed without the full stop at their end, and as they are written: "Co." is a
company, "co." is not.
"""

from __future__ import annotations

# Stands behind a letter that is said by its name. No word is written with it: it is white space.
LETTER_GAP = "\u00a0"


def _list(words: str) -> list[str]:
    """The words of a line: tables of quoted ones would be three times as long."""
    return words.split()


# A full stop behind these never ends a sentence.
INNER = {
    "Mr": "mister",
    "Mrs": "missus",
    "Ms": "miz",
    "Dr": "doctor",
    "mr": "mister",
    "mrs": "missus",
    "ms": "miz",
    "dr": "doctor",
    "Messrs": "messers",
    "Prof": "professor",
    "Rev": "reverend",
    "Hon": "honorable",
    "Gen": "general",
    "Col": "colonel",
    "Maj": "major",
    "Capt": "captain",
    "Cmdr": "commander",
    "Lt": "lieutenant",
    "Sgt": "sergeant",
    "Gov": "governor",
    "Sen": "senator",
    "Rep": "representative",
    "Pres": "president",
    "Supt": "superintendent",
    "Mt": "mount",
    "e.g": "for example",
    "i.e": "that is",
    "vs": "versus",
    "approx": "approximately",
}
# Of those, the ones that are also written without a full stop.
OPEN_TITLES = {"Mr", "Mrs", "Ms", "Dr"}

# These may end a sentence, so their full stop may be one.
WORDS = {
    "Inc": "incorporated",
    "Ltd": "limited",
    "Co": "company",
    "Corp": "corporation",
    "Bros": "brothers",
    "Jr": "junior",
    "Sr": "senior",
    "Esq": "esquire",
    "Ave": "avenue",
    "Blvd": "boulevard",
    "Dept": "department",
    "dept": "department",
    "Ph.D": LETTER_GAP.join("PHD"),
    "etc": "et cetera",
    "Jan": "January",
    "Feb": "February",
    "Apr": "April",
    "Aug": "August",
    "Sept": "September",
    "Sep": "September",
    "Oct": "October",
    "Nov": "November",
    "Dec": "December",
}

# Only before a number; otherwise these are words, or the ends of sentences.
NUMBERED = {
    "No": "number",
    "no": "number",
    "Nos": "numbers",
    "nos": "numbers",
    "Vol": "volume",
    "vol": "volume",
    "Fig": "figure",
    "fig": "figure",
    "Ch": "chapter",
    "ch": "chapter",
    "Sec": "section",
    "sec": "section",
    "Art": "article",
    "art": "article",
    "p": "page",
    "pp": "pages",
}

MONTHS = _list(
    "January February March April May June July August September October November December"
)
# As they stand before the number of a day.
_SHORT_MONTHS = {short for short, name in WORDS.items() if name in MONTHS}
MONTH_NAMES = {*MONTHS, *_SHORT_MONTHS, *(f"{short}." for short in _SHORT_MONTHS)}

MAGNITUDES = {"thousand", "million", "billion", "trillion"}
SCALES = {
    "": "",
    "k": "thousand",
    "m": "million",
    "b": "billion",
    "bn": "billion",
    "tn": "trillion",
}

# Behind a number: of one, of several.
UNITS = {
    "%": ("percent", "percent"),
    "°C": ("degree celsius", "degrees celsius"),
    "°F": ("degree fahrenheit", "degrees fahrenheit"),
    "°": ("degree", "degrees"),
    "¢": ("cent", "cents"),
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "mph": ("mile per hour", "miles per hour"),
    "km": ("kilometer", "kilometers"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "kg": ("kilogram", "kilograms"),
    "mg": ("milligram", "milligrams"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "ft": ("foot", "feet"),
    "mi": ("mile", "miles"),
    "ml": ("milliliter", "milliliters"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "Hz": ("hertz", "hertz"),
    "KB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"),
    "kW": ("kilowatt", "kilowatts"),
    "hrs": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "mins": ("minute", "minutes"),
    "min": ("minute", "minutes"),
    "secs": ("second", "seconds"),
    "sec": ("second", "seconds"),
}

SYMBOLS = {
    "&": "and",
    "@": "at",
    "+": "plus",
    "=": "equals",
    "/": "slash",
    "%": "percent",
    "#": "number",
    "°": "degrees",
    "§": "section",
    "×": "times",
    "±": "plus or minus",
    "$": "dollars",
    "£": "pounds",
    "€": "euros",
    "¥": "yen",
}

# Capitals that are spelled although they could be read as a word.
SPELLED = set(
    _list(
        "AFL AI AOL API ATM BA BBC CEO CFO CIA CIO COO CPU CTO DIY DNA EEG EU FAQ FBI GE GOP GPU "
        "GUI HIV IBM ID IOU IP IPO IQ IRA IRS ITV MBA MIA NBA NRA NSA OCD PDA RAF RNA ROI SUV UAE "
        "UCLA UFO UK UN UPS URL US USA USAF USB USSR VIP"
    )
)

# I, V and X alone are rarely numbers.
ROMAN = {
    name: value
    for value, name in enumerate(
        _list(
            "I II III IV V VI VII VIII IX X XI XII XIII XIV XV XVI XVII XVIII XIX XX "
            "XXI XXII XXIII XXIV XXV"
        ),
        start=1,
    )
}
# What Roman numerals count; behind other capitalised words they tell people of one name apart.
COUNTED = set(
    _list(
        "act article book chapter class figure no number part phase scene section "
        "super title type volume war"
    )
)

# Capitalised where they begin a sentence, and yet no names.
SMALL_WORDS = set(
    _list(
        "a an and as at but by for from he her his if in is it its my near no not of on or our she "
        "so than that the their then they this to under was we were when where with you your"
    )
)
