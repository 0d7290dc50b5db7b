"""Times of day, and what stands between two of them.

7:30, 7.30pm, 19:05      seven thirty, seven thirty P M, nineteen oh five
7:00, 7 p.m., 14:00      seven o'clock, seven P M, fourteen hundred
10:30:15, 00:15          ten thirty fifteen, zero fifteen
9am-5pm, 9 a.m.-noon     nine A M to five P M, nine A M to noon
45+2'                    forty-five plus two (a minute of football)
3:1, a 16:9 display      three to one, sixteen to nine (ratios: see RULES)
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.kinds.calendar import MONTHS, SHORT_MONTHS, SHORT_WEEKDAYS, WEEKDAYS
from sled.normalization.kinds.sentences import starts_sentence
from sled.normalization.rules import FREE, Rule, before, range_word, rule, so_far, spell, word_set

_HALF_DAY = r"(?:[aA]\.?[mM]|[pP]\.?[mM])(?![A-Za-z])"
_HOURS = r"(?:[01]?\d|2[0-4])"
_TIME = rf"{_HOURS}(?:[:.][0-5]\d)?"
_ZONES = "E[DS]?T|P[DS]?T|C[DS]?T|M[DS]?T|GMT|UTC"
_CLOCK = rf"(?P<hours>{_HOURS}):(?P<minutes>[0-5]\d)"


def say_clock(hours: int, minutes: int, *, has_half_day: bool) -> str:
    """A time of day.

    Args:
        hours: The hour.
        minutes: The minute. A full hour gets "o'clock", or "hundred" after noon.
        has_half_day: Whether a.m. or p.m. follows, so that a full hour gets neither.
    """
    if minutes == 0:
        if has_half_day:
            return numbers.cardinal(hours)
        return numbers.cardinal(hours) + (" o'clock" if 0 < hours <= 12 else " hundred")
    return f"{numbers.cardinal(hours)} {'oh ' if minutes < 10 else ''}{numbers.cardinal(minutes)}"


def _say_time(text: str, *, has_half_day: bool) -> str:
    hours, _, minutes = text.replace(".", ":").partition(":")
    return say_clock(int(hours), int(minutes or 0), has_half_day=has_half_day)


def _spell_half_day(text: str) -> str:
    return spell(text.replace(".", ""))


def _say_half_day(match: Match[str]) -> str:
    """A time with a.m. or p.m., after another time or not."""
    said = f"{_say_time(match['time'], has_half_day=True)} {_spell_half_day(match['half'])}"
    if match["from"]:
        start = _say_time(match["from"], has_half_day=True)
        if match["from_half"]:
            start += f" {_spell_half_day(match['from_half'])}"
        said = f"{start} {range_word(match)} {said}"
    following = match["next"]
    ends = match["stop"] and following is not None and _begins_sentence(following)
    return f"{said}." if ends else said


def _begins_sentence(word: str) -> bool:
    """Whether the word after "9 a.m." begins a sentence; days and time zones may follow, too."""
    letters = word.strip("\"'()[],;:.!?*_")
    if starts_sentence(word) or not letters[:1].isupper():
        return starts_sentence(word)
    return not (letters.isupper() or letters in _BEHIND_HALF_DAY)


_BEHIND_HALF_DAY = {*WEEKDAYS, *SHORT_WEEKDAYS, *MONTHS, *SHORT_MONTHS}
_BEHIND_HALF_DAY |= {"Eastern", "Pacific", "Central", "Mountain", "Greenwich", "Zulu"}


def _say_clock(match: Match[str]) -> str:
    hours, minutes, seconds = match["hours"], int(match["minutes"]), match["seconds"]
    if hours == "00" and seconds and not match["part"]:  # a duration
        parts = [(0, "hour"), (minutes, "minute"), (int(seconds), "second")]
        return " ".join(f"{numbers.cardinal(n)} {name}{'s' * (n != 1)}" for n, name in parts)
    said = say_clock(int(hours), minutes, has_half_day=bool(seconds))
    if seconds:
        if not minutes:
            said = f"{numbers.cardinal(int(hours))} zero zero"
        second = int(seconds)
        said += f" {'oh ' if 0 < second < 10 else ''}"
        said += numbers.cardinal(second) if second else "zero zero"
        if match["part"]:
            said += f" point {numbers.digit_by_digit(match['part'])}"
    return said


def _say_short_half_day(match: Match[str]) -> str | None:
    """10a-2p, at 6p; other letters behind a number are no times."""
    if not match["from"] and before(match).lower() not in _BEFORE_TIME:
        return None
    said = f"{_say_time(match['time'], has_half_day=True)} {_spell_half_day(match['half'] + 'm')}"
    if not match["from"]:
        return said
    start = _say_time(match["from"], has_half_day=True)
    return f"{start} {_spell_half_day(match['from_half'] + 'm')} {range_word(match)} {said}"


_BEFORE_TIME = word_set("at @ by from til till until before after around")


def _say_military(match: Match[str]) -> str:
    hours, minutes = int(match["hours"]), int(match["minutes"])
    said = say_clock(hours, minutes, has_half_day=True)
    return f"zero {said}" if minutes else f"zero {said} hundred"


def _say_range(match: Match[str]) -> str:
    return f" {range_word(match)} ".join(
        _say_time(match[name], has_half_day=False).removesuffix(" o'clock")
        for name in ("from", "time")
    )


def _say_ratio(match: Match[str]) -> str | None:
    one, two = match["one"], match["two"]
    if before(match) in ("in", "clocked", "ran", "time:") and _IS_TIME.fullmatch(match[0]):
        return say_clock(int(one), int(two), has_half_day=False)  # of a race
    link = " by " if match[0] in _SHAPES else " to "
    return link.join(numbers.number(part, is_count=True) for part in (one, two))


_IS_TIME = re.compile(r"\d\d:[0-5]\d")
_SHAPES = {"16:9", "4:3", "21:9", "16:10", "18:9", "9:16"}

_NAMED = "noon|midnight|dawn|dusk|sunrise|sunset"
BEGINS = rf"(?i:{_NAMED})|-|\d"
RULES: list[Rule] = [
    rule(
        rf"(?<!\w)(?P<from>(?i:{_NAMED})) ?- ?(?=\d|(?:{_NAMED})\b)",
        lambda m: f"{m['from']} {range_word(m)}",
        begins=rf"(?i:{_NAMED})(?:-?$|-\d)",
        reach=2,
        goes_on="-",
    ),
    rule(rf"(?<=[\d.mM])-(?=(?:{_NAMED})\b)", range_word),
    rule(
        rf"{FREE}(?P<minute>45|90|105|120)\+(?P<added>\d\d?)'?(?![\w.,]*\d|['=])",
        lambda m: f"{numbers.cardinal(m['minute'])} plus {numbers.cardinal(m['added'])}",
    ),
    rule(
        rf"{FREE}(?:(?P<from>{_TIME}) ?(?P<from_half>{_HALF_DAY})?\.? ?- ?)?"
        rf"(?P<time>{_TIME}) ?(?P<half>{_HALF_DAY})"
        r"(?P<stop>\.(?=(?: |[\"')]*$)(?P<next>\S*))?)?",
        _say_half_day,
        begins=rf"{_TIME}(?:$|[aApP-])",
        reach=4,
        goes_on=so_far(rf"{_TIME}(?: ?{_HALF_DAY}\.?)?(?: ?-(?: ?{_TIME}(?: ?{_HALF_DAY}\.?)?)?)?"),
    ),
    rule(  # 10a-2p, at 6p
        rf"{FREE}(?:(?P<from>{_TIME})(?P<from_half>[ap])-)?(?P<time>{_TIME})(?P<half>[ap])(?![\w'])",
        _say_short_half_day,
    ),
    rule(  # 0730 hrs
        rf"{FREE}0(?P<hours>\d)(?P<minutes>[0-5]\d)(?= ?(?:hrs|hours|h)(?!\w))",
        _say_military,
        begins=r"\d{4}$",
        reach=1,
    ),
    rule(  # 6:05a, 2p ET
        rf"{FREE}(?:(?P<clock>{_HOURS}:[0-5]\d)(?P<half>[ap])"
        rf"|(?P<hour>1?\d)(?P<part>[ap])(?= (?:{_ZONES})\b))(?![\w'])",
        lambda m: (
            f"{_say_time(m['clock'] or m['hour'], has_half_day=True)} "
            + _spell_half_day((m["half"] or m["part"]) + "m")
        ),
        begins=r"\d\d?[ap]$",
        reach=1,
    ),
    rule(
        rf"{FREE}(?P<from>{_HOURS}:[0-5]\d) ?- ?(?P<time>{_HOURS}:[0-5]\d)(?![\d:])",
        _say_range,
        begins=rf"{_HOURS}:[0-5]\d(?:$|-)",
        reach=2,
        goes_on=rf"-|{_HOURS}:[0-5]\d[.,;:!?)]*",
    ),
    rule(  # a sub-3:00 marathon
        r"(?<=[sS]ub-)(?P<hours>\d):00(?!\d)", lambda m: numbers.cardinal(int(m["hours"]))
    ),
    rule(  # 0:47 left
        rf"{FREE}0:(?P<seconds>[0-5]\d)(?= (?:left|remaining|to go|to play)\b)",
        lambda m: f"{numbers.cardinal(int(m['seconds']))} seconds",
        begins=r"0:\d\d$",
        reach=2,
        goes_on="to",
    ),
    rule(
        rf"{FREE}{_CLOCK}(?::(?P<seconds>[0-5]\d)(?:\.(?P<part>\d+))?)?(?![\d:]|[.,]\d)",
        _say_clock,
    ),
    rule(  # 2:08.32, of a race
        rf"{FREE}(?P<minutes>\d{{1,2}}):(?P<seconds>[0-5]\d)\.(?P<part>\d{{1,3}})(?![\d:]|[.,]\d)",
        lambda m: (
            f"{say_clock(int(m['minutes']), int(m['seconds']), has_half_day=True)}"
            f"{'' if int(m['seconds']) else ' zero zero'} point {numbers.digit_by_digit(m['part'])}"
        ),
    ),
    rule(
        rf"{FREE}(?P<hours>{_HOURS})h(?P<minutes>[0-5]\d)(?P<seconds>)(?P<part>)(?!\w)", _say_clock
    ),
    rule(
        r"(?<![\w.,:])(?P<one>\d{1,3}(?:,\d{3})*|\d+(?:\.\d+(?=:1(?!\d)))?) ?: ?"
        r"(?P<two>\d{1,3}(?:,\d{3})+|\d+)"
        r"(?![\d:]|[.,]\d)",
        _say_ratio,
    ),
    rule(
        rf"{FREE}(?P<one>\d{{1,3}}) : (?P<two>\d{{1,3}})(?![\w:]|[.,]\d| [:=])",
        lambda m: f"{numbers.cardinal(m['one'])} to {numbers.cardinal(m['two'])}",
        begins=r"\d{1,3}$",
        reach=2,
        goes_on=":",
    ),
    rule(
        rf"{FREE}\d{{1,3}}(?::\d{{1,3}}){{2,}}(?![\d:]|[.,]\d)",
        lambda m: " to ".join(map(numbers.cardinal, m[0].split(":"))),
    ),
]
