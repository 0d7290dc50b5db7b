"""Numbers that are neither dates, money, sums nor quantities, and numbers within words.

7 of 42, 1,234, 3.14, .5, 3,5   ...; a comma before other than three digits is a decimal point
1st, 22nd, 10-12, 50-50         first, twenty-second, ten to twelve, fifty fifty
10k followers, 3M views         ten thousand followers, three million views
1.2.3, v2.0                     one point two point three, v two point zero
1920x1080, 10x, 1080p, 4x4      nineteen twenty by ten eighty, ten times, ten eighty p, four by four
No.5, #3, H.264, COVID-19       number five, number three, h two six four, COVID nineteen
MP3, 4G                         m p three, four g
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.kinds.calendar import MONTHS, month_name
from sled.normalization.kinds.codes import (
    say_letters_and_digits,
    say_model_number,
    say_version_part,
)
from sled.normalization.kinds.short_forms import WITH_DIGITS
from sled.normalization.kinds.unit_names import COUNTED, SPORTS, unit_names
from sled.normalization.kinds.units import PLACES
from sled.normalization.rules import (
    END,
    FREE,
    NUMBER,
    Rule,
    after,
    before,
    range_word,
    rule,
    so_far,
    spell,
    word_set,
)

_SCALES = {"k": "thousand", "K": "thousand", "M": "million", "B": "billion", "bn": "billion"}
_SCALES |= {"T": "trillion", "m": "million", "b": "billion", "mn": "million", "tn": "trillion"}
_SCALES |= {"trn": "trillion"}
# Names with a letter behind a number: resolutions, generations of networks, races.
_NAMED_LETTERS = {"2K", "4K", "5K", "8K", "16K", "3M"}


def _say_scale(match: Match[str]) -> str | None:
    number, letter = match["number"], match["letter"].strip()
    is_counted = match["noun"] is not None
    if re.match(
        r" (?:run|race|walk|PR|PB|in \d+:\d\d)\b", match.string[match.end() : match.endpos]
    ):
        return f"{numbers.number(number, is_count=True)} {spell(letter)}"
    if not is_counted:
        if number + letter in _NAMED_LETTERS or letter in ("m", "b", "T"):
            return None
        # Llama-3-70B
        is_joined = len(number) < 4 and match.string[: match.start()].endswith("-")
        if letter == "B" and "." not in number and not is_joined:
            return None  # room 12B
        if letter == "K" and (len(number) > 3 and number.isdigit()):
            return None  # i7-13700K
        if letter in ("K", "M") and _names_place(match):
            return None
    return f"{numbers.number(number, is_count=True)} {_SCALES[letter]}"


def _names_place(match: Match[str]) -> bool:
    return before(match).lower().rstrip(".") in PLACES


def _say_even(match: Match[str]) -> str:
    """50-50."""
    return f"{numbers.number(match['one'])} {numbers.number(match['one'])}"


def _say_housed(match: Match[str]) -> str | None:
    """Suite 210, flight 237."""
    return numbers.pairs(match[0]) if before(match).lower().rstrip(".") in _HOUSED else None


_HOUSED = word_set(
    "chmod apt apartment suite room rm ste unit flight boeing airbus rtx gtx rx ext extension"
)


def _plural(words: str) -> str:
    """Several of a number: under-12s."""
    return re.sub("y$", "ie", words) + ("es" if words.endswith("x") else "s")


def _say_version(match: Match[str]) -> str:
    """1.2.3, 3.13.0rc2, 5.15.0-91."""
    said = " point ".join(map(say_version_part, match["parts"].split(".")))
    if stage := match["stage"]:
        said += f" {spell(stage) if len(stage) < 3 else stage} {numbers.cardinal(match['number'])}"
    if match["build"]:
        said += f" {say_version_part(match['build'][1:])}"
    return said


def _say_times(text: str) -> str:
    """The 2x of a 2x4."""
    return f"{numbers.cardinal(text[0])} by " if text else ""


def _say_size(match: Match[str]) -> str:
    sides = [side for side in (match["one"], match["two"], match["three"]) if side]
    if len(sides) == 2 and re.search(r" [x×]\d", match[0]):  # HDMI 2.1 x2
        return " times ".join(numbers.number(side, is_count=True) for side in sides)
    is_screen = all(side.isdigit() and 3 <= len(side) <= 4 for side in sides)
    said = " by ".join(
        numbers.pairs(side) if is_screen else numbers.number(side, is_count=True) for side in sides
    )
    names = unit_names(match["unit"]) if match["unit"] else None
    is_one = match["gap"] == "-" or _IN_SPORT.match(match.string, match.end(), match.endpos)
    return f"{said} {names[not is_one]}" if names else said


_IN_SPORT = re.compile(SPORTS)
_BATTED = word_set("batting batted bat bats hitting hit hits slugging a")
_SIZE_UNITS = ("m", "cm", "mm", "km", "ft", "in", "px", "yd")


def _say_aircraft(match: Match[str]) -> str:
    model, _, variant = match[0].removesuffix(match["letters"] or "").partition("-")
    said = f"{numbers.pairs(model.lstrip('A'))} {numbers.pairs(variant)}"
    if match["letters"]:
        said += f" {spell(match['letters'])}"
    return spell("A") + said if model[0] == "A" else said


def _say_color(match: Match[str]) -> str | None:
    """A color in hexadecimal digits: #FF5733; three may be a number, but not in color: #333."""
    color = match["color"]
    is_named = before(match).lower().rstrip(":") in ("color", "background", "fill", "border")
    if len(color) == 3 and color.isdigit() and not is_named:
        return None
    digits = (numbers.cardinal(one) if one.isdigit() else spell(one) for one in color)
    return f"hash {' '.join(digits)}"


def _is_in_parentheses(match: Match[str]) -> bool:
    past = match.string[: match.start()]
    return past.count("(") > past.count(")")


def _say_hash(match: Match[str]) -> str:
    if len(match["number"]) > 6 and match["number"].isdigit():
        return f"number {numbers.digit_by_digit(match['number'])}"
    said = f"number {numbers.number(match['number'], is_count=True)}"
    if not match["last"]:
        return said
    is_year = re.fullmatch("(?:19|20)\\d\\d", match["number"]) is not None
    said = f"number {numbers.year(match['number'])}" if is_year else said
    return f"{said} {numbers.pairs(match['last'])}"


_BEHIND_LENGTH = "|".join(
    rf"(?<=\d{gap}{unit} )" for gap in ("", " ") for unit in (*_SIZE_UNITS, r"ft\.", r"in\.")
)

BEGINS = r"[x×]$|T-|[-−+.#№]|(?=\w*\d)|[vH]\.|v\d"
_CODE_BEFORE, _CODE_BEHIND = re.compile(r"\d[A-Z]\d+$"), re.compile(r"\d+[A-Z]\d")
_NUMBERED_NAME = re.compile(r"(?<![^\W\d_])(?P<name>[A-Z][a-zA-Z]+)-\d[\d.]*$")


def _join_numbers(match: Match[str]) -> str:
    """The word between numbers: that of a range, or none within a name, such as Llama-3.1-8B."""
    behind = after(match)
    if _CODE_BEFORE.search(match.string, 0, match.start()) and _CODE_BEHIND.match(behind):
        return " "  # 00A4-77F1
    if re.match(r"\d{4}-[A-Z](?!\w)", behind):
        return " "  # 88-2104-B
    name = _NUMBERED_NAME.search(match.string, 0, match.start())
    if name is None or month_name(name["name"]) in MONTHS:
        return range_word(match)
    return " "


RULES: list[Rule] = [
    rule(  # 48k mi
        rf"(?<![\w.,])(?P<number>{NUMBER})[kK] (?P<unit>mi|km|ft|sqft|lbs?|kcal)(?!\w)"
        r"(?:\.(?=[,;:!?)]| [a-z\d]))?",
        lambda m: (
            f"{numbers.number(m['number'], is_count=True)} thousand "
            + (unit_names(m["unit"]) or ("", ""))[1]
        ),
        begins=r"[\d.,]*\d[kK]$",
        reach=2,
        goes_on=r"(?:mi|km|ft|sqft|lbs?|kcal)\.",
    ),
    rule(
        rf"(?<![\w.,])(?P<number>{NUMBER})(?P<letter>trn|bn|mn|tn|[kKmMbBT]| (?:trn|bn|mn|tn))"
        rf"(?![\w^/])(?P<noun>(?=[ -](?:{COUNTED})\b))?",
        _say_scale,
        begins=r"[\d.,]*\d(?:trn|bn|mn|tn|[kKmMbBT])?$",
        reach=2,
        goes_on="trn|bn|mn|tn|in",
    ),
    rule(r"(?<=\d )[x×](?= [$€£]\d)", "times", begins="[x×]$", reach=1),  # 4 x $25
    rule(  # 2 x 400g
        rf"{FREE}(?P<count>\d\d?) ?[x×] ?(?=\d+(?:\.\d+)? ?(?:g|kg|ml|mL|l|L|oz|lb)(?!\w))",
        lambda m: f"{numbers.cardinal(m['count'])} times",
        begins=r"\d\d?(?:$|[x×])",
        reach=3,
        goes_on=r"[x×]|\d+(?:\.\d+)?",
    ),
    rule(
        rf"{FREE}(?P<one>\d+(?:\.\d+)?) ?[x×] ?(?P<two>\d+(?:\.\d+)?)"
        r"(?: ?[x×] ?(?P<three>\d+(?:\.\d+)?))?"
        rf"(?:(?P<gap>[ -]?)(?P<unit>{'|'.join(_SIZE_UNITS)})(?=\W|$)(?:\.(?= [a-z]|[,;]))?)?"
        r"(?![\w.]\w|\w)",
        _say_size,
        begins=r"\d+(?:\.\d+)?(?:$|[x×])",
        reach=6,
        goes_on=so_far(r"[\d.]+(?: ?[x×]?(?: ?[\d.]+)?){0,2}(?:m| k?m)?"),
    ),
    rule(
        rf"(?<![\w.,])(?P<number>{NUMBER})[x×]{END}",
        lambda m: f"{numbers.number(m['number'], is_count=True)} times",
    ),
    rule(
        rf"(?<![\w.,])(?P<lines>\d{{3,4}})(?P<letter>[pi])(?P<rate>\d\d)?{END}",
        lambda m: (
            f"{numbers.pairs(m['lines'])} {spell(m['letter'])}"
            + (numbers.cardinal(m["rate"]) if m["rate"] else "")
        ),
    ),
    rule(
        r"(?<![\w.,])(?P<number>\d+(?:,\d{3})*)(?i:st|nd|rd|th)(?![A-Za-z])",
        lambda m: numbers.ordinal(m["number"].replace(",", "")),
    ),
    rule(
        r"(?<!\w)v\.?(?P<version>\d+(?:\.\d+)*)(?!\w)",
        lambda m: f"{spell('v')} " + " point ".join(map(say_version_part, m["version"].split("."))),
    ),
    rule(
        r"(?<![\w.])(?!\d{1,3}(?:\.\d{3}){2,}(?![\d.]))(?P<parts>\d+(?:\.\d+){2,})"
        r"(?:(?P<stage>rc|alpha|beta|dev|post|[ab])(?P<number>\d+))?(?!\w)(?P<build>-\d+(?![\w.-]))?",
        _say_version,
    ),
    rule(
        r"(?<!\w)H\.(?P<number>26[1-6])(?!\w)",
        lambda m: f"{spell('H')} {numbers.digit_by_digit(m['number'])}",
    ),
    rule(  # pages 11ff.
        r"(?<![\w.,])(?P<number>\d+) ?ff(?!\w)(?:\.(?=[,;:)]| [a-z]))?",
        lambda m: f"{numbers.number(m['number'], is_count=True)} and following",
        begins=r"\d+(?:$|ff\.)",
        reach=1,
    ),
    rule(  # 1) Save. 2) Quit.
        r"(?<=[.;:!?,] )(?P<number>\d{1,2})\)(?= \w)",
        lambda m: None if _is_in_parentheses(m) else f"{numbers.cardinal(m['number'])}.",
        begins=r"\d{1,2}\)$",
        reach=1,
    ),
    rule(  # [0,1], (3,5)
        r"(?<=[\[(])(?P<one>\d+),(?P<two>\d+)(?=[\])])",
        lambda m: f"{numbers.number(m['one'])}, {numbers.number(m['two'])}",
    ),
    # Ranges.
    rule(rf"{FREE}(?P<one>[2-9]\d)-(?P=one)(?![\w%]|[.,:-]\d|-)", _say_even),
    rule(
        rf"(?:(?<=['\"\d] )|(?<=\"[WDHL] )|(?<=\" [WDHL] )|{_BEHIND_LENGTH})[x×](?= \d)",
        "by",
        begins="[x×]$",
        reach=1,
    ),
    rule(
        rf"{FREE}(?P<one>{NUMBER}) - (?P<two>{NUMBER})(?![\d-])",
        lambda m: f"{numbers.number(m['one'])} {range_word(m)} {numbers.number(m['two'])}",
        begins=rf"(?:{NUMBER})$",
        reach=2,
        goes_on="-",
    ),
    rule(r"(?<=\d)-(?=0\d)|(?<=x86)-(?=64)", ""),  # of codes
    rule(  # SHA-256, F-150
        r"(?<=[A-Z]-)[1-9]\d\d(?![\w-]|[.,:]\d)", lambda m: say_model_number(m[0])
    ),
    rule(  # 802.11ax
        rf"{FREE}802\.(?P<group>\d\d?)(?P<letters>[a-z]{{0,2}})(?!\w)",
        lambda m: f"eight oh two point {numbers.cardinal(m['group'])} {spell(m['letters'])}",
    ),
    rule(r"(?<!\w)10-4(?=,? (?:over|good|copy|roger)(?!\w))", "ten four", begins="10-4", reach=1),
    rule(  # .286/.351/.498, .500 ball
        r"(?<![\w.])\.\d{3}(?:(?:/\.\d{3}){1,2}|(?= (?:ball|team|record|season|mark)(?!\w)))(?!\w)",
        lambda m: ", ".join(numbers.pairs(part) for part in re.findall(r"\d+", m[0])),
        begins=r"\.\d{3}$",
        reach=1,
    ),
    rule(  # 401(k), a 529 plan
        rf"{FREE}(?:(?P<plan>401|403)\(?(?P<letter>[kb])\)?|529(?= plans?(?!\w)))(?!\w)",
        lambda m: (
            f"{numbers.pairs(m['plan'])} {spell(m['letter'])}" if m["plan"] else "five twenty-nine"
        ),
        begins="529$",
        reach=1,
    ),
    rule(  # batting .312
        r"(?<![\w.])\.(?P<average>\d{3})(?!\w)",
        lambda m: numbers.pairs(m["average"]) if before(m).lower() in _BATTED else None,
    ),
    rule(
        rf"{FREE}(?:(?:7[0-8]7|A3[1-8]0)-[1-9]\d{{2,3}}|(?:737|747|777|787)-(?:[7-9]|10))"
        rf"(?P<letters>ER|LR|[FIi])?{END}",
        _say_aircraft,
    ),
    rule(
        rf"{FREE}(?P<points>\d+\.\d+)/(?P<most>[45]\.0|5|10|100)(?![\w/]|\.\d| ?[kMG]?Hz)",
        lambda m: f"{numbers.number(m['points'])} out of {numbers.number(m['most'])}",
        begins=r"\d+\.\d+/[\d.]+$",
        reach=1,
    ),
    rule(
        r"(?<!\w)T-(?=\d+ (?:seconds?|minutes?|hours?|days?)\b)",
        f"{spell('T')}minus",
        begins=r"T-\d+$",
        reach=1,
    ),
    rule(r"(?<=[A-Za-z]-\d)-(?=\d)|(?<=\bi[3579])-(?=\d{4})", ""),  # Llama-3-70B, i7-9700
    rule(r"(?<=[A-Z]-\d{4})-(?=\d)|(?<=[A-Z]{2}\d)-(?=\d{4})", ""),  # ISO-8859-1, DDR5-6000
    rule(r"(?<=[A-Z])−(?=\d)|(?<=UTC|GMT)-(?=\d)|(?<![\w)])−(?=[A-Za-zα-ωΑ-Ω])", "minus"),  # UTC−5
    rule(
        r"(?<=°[CF])-(?=[-−]?\d)|(?<=\bBCE)-(?=\d)|(?<=\bBC)-(?=\d)|(?<=\d0s)-(?='?\d)|(?<=\d[a-h])-(?=[a-h](?!\w))|(?<=\d[A-Z])-(?=\d+[A-Z](?!\w))",
        "to",
    ),
    rule(  # No. 22-1234
        rf"{FREE}(?P<one>\d\d?|(?:19|20)\d\d)-(?P<two>\d{{3,5}})(?![\w-])",
        lambda m: (
            f"{numbers.number(m['one'])} {numbers.pairs(m['two'])}"
            if before(m) in ("No.", "no.", "Case", "Docket", "case", "docket")
            or m.string[m.start() - 1 : m.start()] in ("№", "#")
            else None
        ),
    ),
    rule(  # under-12s, F-16s
        r"(?<=[A-Za-z]-)(?P<number>\d+)s(?!\w)",
        lambda m: _plural(say_model_number(m["number"])),
    ),
    rule(  # MP3s, 747s, 2x4s
        rf"{FREE}(?P<letters>[A-Z]{{1,3}}|\d[x×](?=\d)|(?=7[0-8]7))(?P<number>\d+)s(?!\w)",
        lambda m: (
            f"{spell(m['letters']) if m['letters'].isalpha() else _say_times(m['letters'])}"
            f"{_plural(say_model_number(m['number']))}"
        ),
    ),
    rule(r"(?<=\d)-(?=#\d)", range_word),
    rule(r"(?<=\d(?:st|nd|rd|th))-(?=\d+(?:st|nd|rd|th))", range_word),
    rule(r"(?<=[\d%°])-(?=[$€£¥]?\.?\d)|(?<=Q\d)-(?=Q\d)", _join_numbers),
    rule(r"(?<=[a-z])\.(?=\d)|(?<=\d)\.(?=x(?!\w))", "point"),  # beta.2, 8.x
    rule(r"(?<![\w)])(?:[-−](?=[$€£¥]?\.?\d)|− (?=\d))", "minus", begins="−$", reach=1),
    rule(r"(?<=[\d)])−(?=[\d(])", "minus"),
    rule(r"(?<!\w)\+(?=\.?\d)", "plus"),
    # Letters with digits.
    rule(rf"{FREE}(?i:{'|'.join(WITH_DIGITS)}){END}", lambda m: WITH_DIGITS[m[0].lower()]),
    rule(  # q4-6h
        r"(?<!\w)q(?P<first>\d{1,2})(?:-(?P<last>\d{1,2}))?h(?!\w)",
        lambda m: (
            f"every {numbers.cardinal(m['first'])}"
            f"{' to ' + numbers.cardinal(m['last']) if m['last'] else ''} hours"
        ),
    ),
    rule(
        r"#(?P<color>(?=[\dA-F]*\d)[\dA-F]{6}|(?=[\da-f]*\d)[\da-f]{6}|([\da-fA-F])\2\2)(?!\w)",
        _say_color,
    ),
    rule(r"(?<=[A-Z]-)\d{5,}(?!\w|[.,]\d)", lambda m: numbers.digit_by_digit(m[0])),
    rule(  # #3, #2024-118
        r"#(?P<number>\d+(?:,\d{3})*)(?:(?<=\d{4})-(?P<last>\d{3,5})(?![\w-]))?(?!\w)", _say_hash
    ),
    rule(r"№ ?(?=\d)", "number", begins="№", reach=1),
    rule(
        r"(?<![\w.,])(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z\d]+(?!\w|-year|(?<=\d)\.\d)",
        say_letters_and_digits,
    ),
    rule(
        r"(?<![\w.,-])[A-Za-z]+(?=\d+\.\d+(?![\w.]))",
        lambda m: spell(m[0]) if m[0].isupper() else m[0],
    ),
    rule(r"(?<=\d)-(?=[A-Za-z])|(?<=[A-Za-z])-(?=\d)", ""),
    rule(  # a car
        rf"{FREE}911{END}",
        lambda m: numbers.pairs(m[0]) if before(m) in ("a", "Porsche") else None,
    ),
    rule(rf"{FREE}[1-9]\d{{2,3}}(?![\w%]|[.,:]\d)", _say_housed),
    rule(
        rf"(?P<number>{NUMBER})(?P<owner>'s(?!\w))?",
        lambda m: numbers.number(m["number"]) + ("'s" if m["owner"] else ""),
    ),
    rule(r"\d+", lambda m: numbers.digit_by_digit(m[0])),
]
