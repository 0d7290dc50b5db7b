"""Tables of English abbreviations, units, symbols and letter words, and how they are said.

Abbreviations are listed without the full stop at their end. Case matters: "Co." is a company,
"co." is not.
"""

from __future__ import annotations

# Follows a letter that is said by its name. It is white space, so no input word contains it.
LETTER_GAP = "\u00a0"


def _list(words: str) -> list[str]:
    """Split a line into words. Tables with quotes around each word would be three times as long."""
    return words.split()


# A full stop after these never ends a sentence.
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
# Those of them that are also written without a full stop.
OPEN_TITLES = {"Mr", "Mrs", "Ms", "Dr"}

# A full stop after these may end a sentence.
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

# Abbreviations only before a number; otherwise they are words, or end a sentence.
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
# Short forms that stand before the number of a day.
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

# After a number: singular and plural.
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

# Words in capitals that are spelled although they could be read as a word.
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
# Words before a Roman numeral that counts. After other capitalised words it is part of a name.
COUNTED = set(
    _list(
        "act article book chapter class figure no number part phase scene section "
        "super title type volume war"
    )
)

# Words that are capitalised at the beginning of a sentence and are not names.
SMALL_WORDS = set(
    _list(
        "a an and as at but by for from he her his if in is it its my near no not of on or our she "
        "so than that the their then they this to under was we were when where with you your"
    )
)
