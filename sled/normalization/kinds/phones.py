"""Telephone numbers and other digits that are read one by one, in groups.

(555) 123-4567      five five five, one two three, four five six seven
+1 555 123 4567     plus one, five five five, one two three, four five six seven
1-800-FLOWERS       one eight hundred, FLOWERS
call 911            call nine one one
CA 90210            C A nine zero two one zero
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.rules import FREE, Rule, before, rule, so_far, spell, word_table

_GROUP = re.compile(r"\d+|[A-Z]+")
_DIALLED = re.compile(r"(?i:call|calls|called|calling|dial|dials|dialed|dialing|phone|ring|text)")
_DIALLED_TOO = re.compile(
    rf"(?:{_DIALLED.pattern}) (?:\d{{3}},? )+(?:or|and)"  # dial 999 or
)
_TEXTED = re.compile(r"(?i:text|texts|send|sms|reply) \W?[A-Z]+\W? to")  # text STOP to
_CODED = re.compile(
    r"(?i:(?:\w+ )*(?:card|account|acct\.?|ssn|visa|mastercard|amex|number|phone)(?: \w+)*"
    r" end(?:ing|s) (?:in|with)"
    r"|(?:\w+ )?(?:pin|code|passcode|otp|password|zip)(?: is)?:?)"
)
_SERIAL = re.compile(
    r"(?:UPC|EAN|ISBN|IMEI|PMID|MRN|SSN|EIN|NPI|VIN"
    r"|(?i:account|acct\.?|routing|member|serial|passport|tracking|confirmation|policy|claim|invoice"
    r"|ticket|case)(?i: (?:no\.?|number|id|#))?):? $"
)
_REPORTED = re.compile(r"(?i:exit|error|status|return|response|result|http) code(?: is|:)?$")
STATES = word_table(
    "AL=Alabama AK=Alaska AZ=Arizona AR=Arkansas CA=California CO=Colorado CT=Connecticut "
    "DE=Delaware FL=Florida GA=Georgia HI=Hawaii ID=Idaho IL=Illinois IN=Indiana IA=Iowa "
    "KS=Kansas KY=Kentucky LA=Louisiana ME=Maine MD=Maryland MA=Massachusetts MI=Michigan "
    "MN=Minnesota MS=Mississippi MO=Missouri MT=Montana NE=Nebraska NV=Nevada "
    "NH=New_Hampshire NJ=New_Jersey NM=New_Mexico NY=New_York NC=North_Carolina "
    "ND=North_Dakota OH=Ohio OK=Oklahoma OR=Oregon PA=Pennsylvania RI=Rhode_Island "
    "SC=South_Carolina SD=South_Dakota TN=Tennessee TX=Texas UT=Utah VT=Vermont VA=Virginia "
    "WA=Washington WV=West_Virginia WI=Wisconsin WY=Wyoming"
)
_ENDING = r"(?!\w|[.,:/-]\d|[-/%]\w)"
_AREA = r"(?P<area>\(\d{3}\)|\d{3})(?:(?<=\))[ -]?|[ .-])"
_EXTENSION = r"(?:,? ?(?:x|ext\.?) ?(?P<extension>\d{1,6}))?"


def _groups(text: str) -> str:
    said = []
    for group in _GROUP.findall(text):
        if group.isdigit():
            said.append(numbers.digit_by_digit(group))
        else:
            said.append(group if len(group) > 3 else spell(group))
    return ", ".join(said)


def _area(area: str) -> str:
    return numbers.cardinal(area) if re.fullmatch("[1-9]00", area) else _groups(area)


def _say_north_american(match: Match[str]) -> str:
    area = match["area"].strip("()")
    said = f"{_area(area)}, {_groups(match['rest'])}"
    if match["country"]:
        pause = " " if area.endswith("00") else ", "
        said = f"{'plus ' if match['plus'] else ''}one{pause}{said}"
    return f"{said}, extension {_groups(match['extension'])}" if match["extension"] else said


def _say_with_letters(match: Match[str]) -> str:
    country = "one " if match[0].startswith("1-") else ""
    return f"{country}{_area(match['area'])}, {_groups(match['letters'])}"


def _say_international(match: Match[str]) -> str | None:
    num_digits = sum(char.isdigit() for char in match[0])
    return f"plus {_groups(match[0])}" if 7 <= num_digits <= 15 else None


def _say_national(match: Match[str]) -> str | None:
    """A number with the zero of calls within a country."""
    num_digits = sum(char.isdigit() for char in match[0])
    return _groups(match[0]) if 9 <= num_digits <= 12 else None


def _in_threes(digits: str) -> str:
    """Long numbers in groups, the last one of four digits if need be."""
    end = len(digits) - (4 if len(digits) % 3 == 1 else 0)
    groups = [digits[at : min(at + 3, end)] for at in range(0, end, 3)]
    return " ".join(filter(None, [*groups, digits[end:]]))


def _say_order(match: Match[str]) -> str | None:
    """#112-7654321-9876543; that of #2024-118 has a year."""
    return f"number {_groups(match[0])}" if sum(map(str.isdigit, match[0])) > 9 else None


def _say_dialled(match: Match[str]) -> str | None:
    """A number to be dialled or typed."""
    if _REPORTED.search(before(match, 3)):
        return None
    is_code = (
        _DIALLED.fullmatch(before(match))
        or (len(match[0]) == 3 and _DIALLED_TOO.fullmatch(before(match, 3)))
        or _TEXTED.fullmatch(before(match, 3))
        or any(_CODED.fullmatch(before(match, num_words)) for num_words in (1, 2, 3, 4))
        or (len(match[0]) > 4 and _SERIAL.search(match.string, 0, match.start()))
    )
    return _groups(match[0]) if is_code else None


def _is_typed(text: str, at: int, end: int) -> bool:
    behind = text[max(0, at - 64) : at]
    if not text[at:end].isdigit():
        return False
    return re.search(rf"(?:{_CODED.pattern}) $|{_SERIAL.pattern}", behind) is not None


def _say_serial(match: Match[str]) -> str:
    groups = match[0].split("-")
    if all(len(group) == 1 for group in groups):
        return " ".join(map(numbers.cardinal, groups))
    if any(len(group) == 1 for group in groups) and all(len(group) < 3 for group in groups):
        # 17-3-2, won, lost and drawn; the numbers of a lottery
        return (" " if len(groups) == 3 else ", ").join(map(numbers.cardinal, groups))
    return _groups(match[0])


_BEFORE_ZIP = re.compile(
    rf"(?:(?<!\w)[A-Z][A-Z]|(?<!\w)[A-Z]\.[A-Z]\.|, (?:{'|'.join(STATES.values())})) $"
)
_PRESSED = re.compile(r"(?i:press|presses|pressing|dial|dials|dialing|hit|or|and|then|the|enter)")


def _say_key(match: Match[str]) -> str | None:
    """A key of a telephone, and what is dialled with it."""
    is_pressed = _PRESSED.fullmatch(before(match)) is not None
    is_code = bool(match["digits"] and match["last"])  # *100#, #31#
    if not is_code and (not is_pressed or (match["sign"] == "#" and match["digits"])):
        return None
    keys = {"*": "star", "#": "pound"}
    digits = _groups(match["digits"])
    return " ".join(filter(None, (keys[match["sign"]], digits, keys.get(match["last"]))))


BEGINS = r"[+(*#\d]|[A-Z][A-Z](?!\w)"
RULES: list[Rule] = [
    # North America.
    rule(
        rf"(?<![\w.,])(?:(?P<plus>\+)?(?P<country>1)[ .-]?)?{_AREA}"
        rf"(?P<rest>\d{{3}}[ .-]\d{{4}}){_EXTENSION}{_ENDING}",
        _say_north_american,
        begins=r"(?:\+?1[-.]?)?\(?\d{3}(?!\d)|\+?1$",
        reach=5,
        goes_on=so_far(
            r"(?:\+?1[ .-])?(?:\(?\d{3}\)?(?:[ .-]?\d{3}(?:[ .-]?\d{4},?(?: (?:x|ext\.?))?)?)?)?"
        ),
    ),
    rule(rf"{FREE}\d{{3}}-\d{{4}}(?!\d){_ENDING}", lambda m: _groups(m[0])),
    rule(rf"{FREE}\d\d-\d{{7}}{_ENDING}", lambda m: _groups(m[0])),
    rule(  # 555 0123, 812 3456 7890
        rf"{FREE}[2-9]\d\d (?:0\d{{3}}|\d{{3,4}} \d{{4}}){_ENDING}",
        lambda m: _groups(m[0]),
        begins=r"[2-9]\d\d$",
        reach=2,
        goes_on=r"\d{3,4}",
    ),
    rule(  # 9780306406157, but not 5000000000
        rf"{FREE}(?!\d+000(?!\d))\d{{10,}}{_ENDING}", lambda m: _groups(_in_threes(m[0]))
    ),
    rule(
        r"(?<=arXiv:)\d{4}\.\d{4,5}(?!\d)",
        lambda m: " point ".join(map(numbers.digit_by_digit, m[0].split("."))),
    ),
    rule(r"#\d{3,}(?:-\d{3,})+(?![\w=]|-\w|\.\d)", _say_order),
    rule(
        rf"{FREE}(?:1-)?(?P<area>[2-9]\d\d)-"
        r"(?P<letters>(?=[A-Z0-9-]*[A-Z]{3})[A-Z0-9]+(?:-[A-Z0-9]+)*)",
        _say_with_letters,
    ),
    # Other countries: a plus, and groups.
    rule(
        rf"(?<!\w)\+\d{{1,3}}(?:[ .-]?\(?\d{{1,5}}\)?){{1,6}}{_ENDING}",
        _say_international,
        begins=r"\+\d",
        reach=6,
        goes_on=r"(?:\(?\d{1,8}\)?)+(?:-\d+)*[.,;:!?)]*",
    ),
    rule(
        rf"(?<![\w.,])(?:\(0\d{{0,4}}\)[ -]?|0\d{{1,4}}(?! \d\d/)[ /-])"
        rf"(?!\d\d?-\d{{4}}(?!\d))\d{{2,9}}(?:[ -]\d{{2,9}}){{0,4}}{_ENDING}",
        _say_national,
        begins=r"\(?0\d{0,4}\)?(?:$|[-/]\d)|\(0\d{0,4}\)\d",
        reach=5,
        goes_on=r"\d{2,8}(?:-\d{2,8})*[.,;:!?)]*",
    ),
    # Card numbers, serial numbers, numbers of emergency services, ZIP codes.
    rule(
        rf"{FREE}\d{{4}}(?: \d{{4}}){{2,3}}{_ENDING}",
        lambda m: _groups(m[0]),
        begins=r"\d{4}$",
        reach=3,
        goes_on=r"\d{4}[.,;:!?)]*",
    ),
    rule(
        rf"{FREE}(?!\d{{4}}-\d\d?-\d\d?(?!\d))(?!\d\d?-\d\d?-(?:\d{{2}}|\d{{4}})(?![\d-]))"
        r"\d+(?:-\d+){2,}(?![\w=]|-\w|\.\d)",
        _say_serial,
    ),
    rule(
        rf"{FREE}(?:\d \d{{5}} \d{{5}} \d|\d{{3,11}}(?:[ -]\d{{3,4}}){{0,3}}){_ENDING}",
        _say_dialled,
        begins=_is_typed,
        reach=3,
        goes_on=r"\d{3,5}",
    ),
    rule(
        r"(?<![\w.,])911(?= (?:calls?|operators?|dispatchers?)\b)",
        lambda m: _groups(m[0]),
        begins="911$",
        reach=1,
    ),
    rule(
        rf"(?:(?<=[a-z.], )|(?<=[a-z] )(?=(?:TX|WA|FL|NJ|NV|AZ|GA|NC|SC|MN|WI|TN|KY|MO)(?:[,;)]|$))"
        rf"|(?<=[a-z.] )(?=[A-Z]{{2}} \d{{5}}))(?P<state>{'|'.join(STATES)})"
        r"(?= \d{5}(?!\d)|(?<!MA|MD|PA)(?:[.,;:!?)]|$)"
        r"|(?<!MA|MD|PA|IN|OR|ME|HI|OK|OH|LA) (?:to|and|for|from|on|at|is|was|with|area)(?!\w))",
        lambda m: STATES[m["state"]] if len(before(m)) > 2 else None,
        begins=r"[A-Z][A-Z]$",
        reach=1,
    ),
    rule(
        r"(?<![\w.,])\d{5}(?:-\d{4})?(?!\w|[.,]\d)",
        lambda m: _groups(m[0]) if _BEFORE_ZIP.search(m.string, 0, m.start()) else None,
    ),
    rule(  # 10115 Berlin
        r"(?:(?<=, )|^|(?<=[\n\v]))(?!\d\d000)\d{5}(?= [A-Z][a-z])",
        lambda m: _groups(m[0]),
        begins=r"\d{5}$",
        reach=1,
    ),
    rule(  # dial *67, press #
        r"(?P<sign>[*#])(?P<digits>\d{0,6})(?P<last>[*#]?)(?!\w)",
        _say_key,
    ),
]
