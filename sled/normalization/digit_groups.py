"""Numbers whose thousands are apart: 1 234 567,89 and 12 500 km.

All kinds read numbers in one piece, so the spaces are taken out before. Two numbers may stand side
by side, too (iPhone 15 128 GB), so a single group of three digits needs more than that: a currency,
a unit, decimals or three zeros.
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization.kinds.calendar import MONTHS, month_name
from sled.normalization.kinds.money import CURRENCY_CODES, CURRENCY_SIGNS, MAGNITUDES
from sled.normalization.kinds.unit_names import COUNTED, SPORTS, unit_names
from sled.normalization.rules import before, rule, so_far, word_set

_SIGN = f"[{''.join(CURRENCY_SIGNS)}]"
_FIRST = rf"[-−]?{_SIGN}?[1-9]\d{{0,2}}"
_WRITTEN = (
    rf"(?<![\w.,:/'+-])(?<!\d )[-−]?(?P<sign>{_SIGN} ?)?(?P<first>[1-9]\d{{0,2}})"
    r"(?P<groups>(?: \d{3})+)(?P<decimals>[.,]\d{1,2})?"
    r"(?![\d/:-]|[.,]\d| \d)(?=(?P<unit> ?[^\s\d.,;:!?()\"'*_-]+)?)"
)
_COUNTED = re.compile(rf"{COUNTED}|{MAGNITUDES}|steps|pages|points|meters|miles|seats|hours|items")
# What has a number of its own before another number.
_LABELS = word_set(
    "room chapter page top step day week gen version windows no number line platform gate flight"
    " section part level"
)
_DIALLED = word_set(
    "call dial phone tel tel: phone: fax fax: text whatsapp id id: pin code code: at"
)
_BYTES = word_set("KB MB GB TB GHz MHz Hz W mAh bit")


def _joined(match: Match[str]) -> str | None:
    previous, groups = before(match), match["groups"].split()
    unit = (match["unit"] or "").strip()
    if previous.lower() in _DIALLED or month_name(previous) in MONTHS:
        return None
    if unit == "m" and re.compile(SPORTS).match(match.string, match.end("unit"), match.endpos):
        return None
    is_one_number = (
        match["sign"]
        or match["decimals"]
        or (len(groups) > 1 and len(match["first"]) < 3)
        or set(groups) == {"000"}
    )
    if not is_one_number and not _is_measured(unit, previous):
        return None
    return match[0].replace(" ", "")


def _is_measured(unit: str, previous: str) -> bool:
    """Whether a number stands before what it counts, and not a name with a number before it."""
    if previous.lower().rstrip(".") in _LABELS or unit in _BYTES or unit == "in":
        return False
    return (
        unit in CURRENCY_SIGNS
        or unit in CURRENCY_CODES
        or unit_names(unit) is not None
        or _COUNTED.fullmatch(unit) is not None
    )


GROUPED = rule(
    _WRITTEN,
    _joined,
    begins=rf"{_FIRST}$|{_SIGN}$",
    reach=7,
    goes_on=so_far(
        rf"(?:{_SIGN} [1-9]\d{{0,2}}|{_FIRST}(?: \d{{3}})+)(?: \d{{3}})*(?:[.,]\d{{1,2}})?(?: m)?"
    ),
)
