"""Dates, years and decades.

    March 5, 1999; Mar. 3; 12 Feb.   March fifth, nineteen ninety-nine; ...; the twelfth of February
    2024-05-01, 2024/05/01           May first, twenty twenty-four
    05/06/1990                       American: May sixth; British: the fifth of June
    01.05.2024                       day first, as where points are written: May first
    Mon-Fri, Jan-Mar, May 5-7        Monday to Friday, January to March, May fifth to seventh
    2023/24, 1914-18                 twenty twenty-three twenty-four, nineteen fourteen to eighteen
    the 1990s, the '60s, 79 AD       the nineteen nineties, the 'sixties, seventy-nine A D
    in 1066; the 1st c. BCE          in ten sixty-six; the first century B C E

One of the two numbers of a date in digits that is above 12 is the day, wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from re import Match

from sled.normalization import numbers
from sled.normalization.kinds.calendar import (
    MONTHS,
    SHORT_MONTHS,
    SHORT_WEEKDAYS,
    WEEKDAYS,
    Dialect,
    month_name,
    say_day,
    say_year,
)
from sled.normalization.kinds.clocks import say_clock
from sled.normalization.kinds.fractions import RATED
from sled.normalization.rules import (
    END,
    FREE,
    Rule,
    after,
    before,
    range_word,
    rule,
    so_far,
    spell,
    word_set,
)

_LONG_MONTH = "|".join(MONTHS)
_SHORT_MONTH = "|".join(sorted(SHORT_MONTHS, key=len, reverse=True))
_MONTH = rf"(?:{_LONG_MONTH}|(?:{_SHORT_MONTH})\.?)"
_ANY_MONTH = rf"(?:{_MONTH}|{_MONTH.upper()})"
_BARE_MONTH = rf"(?:{_LONG_MONTH}|{_SHORT_MONTH}|{_LONG_MONTH.upper()}|{_SHORT_MONTH.upper()})"
_WEEKDAY = "|".join((*WEEKDAYS, *sorted(SHORT_WEEKDAYS, key=len, reverse=True)))
_SHORT_WEEKDAY = "|".join(sorted(SHORT_WEEKDAYS, key=len, reverse=True))
_BEHIND_WEEKDAY = re.compile(rf"(?<!\w)(?:{_WEEKDAY})\.?(?:,|,? (?:and|or|&)) $")
_CLEAR_WEEKDAYS = word_set("Tue Tues Weds Thu Thur Thurs Fri")
_DAY = r"(?:[12]\d|3[01]|0?[1-9])"
_YEAR = r"(?:1\d|20|21)\d\d"
_ERA = r"AD|BCE?|CE|A\.D|B\.C\.E|B\.C|C\.E"
_SPLIT = r"(?![\w/-]|[.,:]\d)"
_SINCE = word_set(
    "on by before until till since from after dated due through thru closed closes opens starts "
    "starting off begins ends ending expires posted updated born"
)
_OF = re.compile("(?i:week|day|night|morning|afternoon|evening|as|meeting|letter) of")


def _say_date(year: str, month: int, day: int, dialect: Dialect) -> str | None:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    said = say_day(day, MONTHS[month - 1], dialect)
    return f"{said}, {say_year(year)}" if year else said


def _say_weekday(name: str) -> str:
    return SHORT_WEEKDAYS.get(name.removesuffix("."), name)


def _say_month_day(dialect: Dialect) -> Callable[[Match[str]], str]:
    def say(match: Match[str]) -> str:
        month, day = month_name(match["month"]), numbers.ordinal(int(match["day"]))
        if match["last"]:
            day += f" {range_word(match)} {numbers.ordinal(int(match['last']))}"
        said = f"{month} {'the ' if dialect == 'british' else ''}{day}"
        if match["year"]:
            said += f", {say_year(match['year'])}"
        return said

    return say


def _say_day_month(match: Match[str]) -> str:
    first, last = match["day"], match["last"]
    article = "" if before(match).lower() == "the" else "the "
    said = f"{article}{numbers.ordinal(int(first))}"
    if last:
        said += f" to {numbers.ordinal(int(last))}"
    said += f" of {month_name(match['month'])}"
    return f"{said}, {say_year(match['year'])}" if match["year"] else said


def _say_iso(dialect: Dialect) -> Callable[[Match[str]], str | None]:
    def say(match: Match[str]) -> str | None:
        said = _say_date(match["year"], int(match["month"]), int(match["day"]), dialect)
        if said is None or not match["hours"]:
            return said
        hours, minutes = int(match["hours"]), int(match["minutes"])
        half_day = "PM" if hours >= 12 else "AM"
        clock = say_clock((hours - 1) % 12 + 1, minutes, has_half_day=True)
        said = f"{said}, {clock} {spell(half_day)}"
        zone_hours, zone_minutes = int(match["zone"] or 0), int(match["zone_minutes"] or 0)
        if not zone_hours and not zone_minutes:
            return said
        ahead = "plus" if match["ahead"] == "+" else "minus"
        part = f" {numbers.cardinal(zone_minutes)}" if zone_minutes else ""
        return f"{said} {spell('UTC')}{ahead} {numbers.cardinal(zone_hours)}{part}"

    return say


def _say_digits(day_first: bool, dialect: Dialect) -> Callable[[Match[str]], str | None]:
    def say(match: Match[str]) -> str | None:
        month, day = int(match["one"]), int(match["two"])
        if (day_first and day <= 12) or month > 12:
            month, day = day, month
        return _say_date(match["year"] or "", month, day, dialect)

    return say


def _say_short_digits(dialect: Dialect) -> Callable[[Match[str]], str | None]:
    """A day and a month alone, which could also be a fraction."""
    say_digits = _say_digits(dialect == "british", dialect)

    def say(match: Match[str]) -> str | None:
        previous = before(match).rstrip(".,")
        if previous.lower() in _EXPIRY and int(match["two"]) > 12 >= int(match["one"]):
            return f"{MONTHS[int(match['one']) - 1]} {say_year(match['two'])}"
        is_weekday = previous in WEEKDAYS or previous in SHORT_WEEKDAYS
        is_date = match["one"][0] == "0" or previous.lower() in _SINCE or is_weekday
        is_date = is_date or _OF.fullmatch(before(match, 2)) is not None
        is_date = is_date or (
            _DAY_ALONE.fullmatch(match[0]) is not None
            and (int(match["two"]) > 20 or previous.lower() not in RATED)
            and not _MEASURED.match(after(match))
            and not _SUM.match(after(match))
            and not _SUM.match(previous[-1:])
        )
        return say_digits(match) if is_date else None

    return say


# Parts that are hardly ever meant, and the last days of a year.
_EXPIRY = word_set("exp exp: exp.: expiry expiry: expires: thru:")
_DAY_ALONE = re.compile(
    r"(?:[1-9]|1[0-2])/(?:1[34579]|18|2[12367]|2[89]|31)|12/2[45]|(?:[2-9]|1[0-2])/1"
)
_SUM = re.compile(r" ?[-−+=*×÷/<>]")
# Behind fractions: 1/4-1/2 inch.
_MEASURED = re.compile(r" ?(?:\"|(?:inch(?:es)?|in|cups?|miles?|tsps?|tbsps?|lbs?|oz|of|hours?)\b)")


def _say_days(dialect: Dialect) -> Callable[[Match[str]], str | None]:
    """From a day to another, both in digits."""
    say_digits = _say_digits(dialect == "british", dialect)
    short = re.compile(r"(?P<one>\d\d?)/(?P<two>\d\d?)(?P<year>)")

    def say(match: Match[str]) -> str | None:
        if _MEASURED.match(match.string[match.end() : match.endpos]):
            return None
        last = short.fullmatch(match["rest"])
        days = (say_digits(match), say_digits(last) if last else None)
        return f"{days[0]} to {days[1]}" if days[0] and days[1] else None

    return say


def _say_month_year(match: Match[str]) -> str:
    return f"{MONTHS[int(match['month']) - 1]} {say_year(match['year'])}"


def _say_decade(match: Match[str]) -> str | None:
    digits = match["digits"]
    quote = "'" if match[0][0] == "'" else ""
    if len(digits) == 2 and not quote:
        previous = before(match).lower().lstrip("(\"'")
        if previous not in _DECADES and _TIMED.match(after(match)):
            return None  # 40s on
        if previous in _LASTING or (int(digits) in (10, 30, 60) and previous not in _DECADES):
            return None  # seconds
    return quote + numbers.decade(digits)


_LASTING = word_set("for after in within every last lasts lasted took takes take wait waited of")
_TIMED = re.compile(r" (?:on|off|rest|work|plank|hold|sprint|timeout|delay|timer|ago|late)\b")
_DECADES = word_set("the her his my your our their its early mid late mid- low high lower upper")


def _say_era(match: Match[str]) -> str:
    year, era = match["year"], match["era"].replace(".", "")
    digits = year.replace(",", "")
    said = numbers.year(digits) if len(digits) in (3, 4) and digits[-2:] != "00" else ""
    if len(digits) == 3 and said:
        said = numbers.cardinal(digits)
    return f"{said or numbers.number(digits)} {spell(era)}"


def _say_early_year(match: Match[str]) -> str | None:
    """A year that could as well be a number: one that something happened in or since."""
    return numbers.year(match["year"]) if before(match).lower() in _BEFORE_YEARS else None


_BEFORE_YEARS = word_set("in since year until till before after circa ca. anno ad a.d.")
# What may stand behind such a year; behind a number stands what is counted.
_BEHIND_YEAR = (
    r"(?=$|[,;:!?)\"']|\.(?!\d)| (?:[A-Z(—]|(?:and|or|but|the|an?|to|by|as|at|on|with|under|for"
    r"|until|when|where|while|which|who|that|this|there|he|she|it|they|we|his|her|its|their|was"
    r"|were|is|had|has|after|before|during|near|over)\b))"
)


def _say_short_year(digits: str) -> str:
    """The '03 of a class of 2003."""
    if digits[0] != "0":
        return numbers.cardinal(digits)
    return f"oh {'oh' if digits == '00' else numbers.cardinal(digits[1])}"


def _say_century(match: Match[str]) -> str | None:
    return "century" if re.search(r"\d(?:st|nd|rd|th)-?$", before(match)) else None


def _say_span_of_years(match: Match[str]) -> str:
    first, last = int(match["first"]), int(match["last"])
    if match["link"] == "/" and 1 <= last <= 12 and last != (first + 1) % 100:
        return f"{MONTHS[last - 1]} {say_year(match['first'])}"
    link = " " if match["link"] == "/" else f" {range_word(match)} "
    tail = f"{'oh ' if last < 10 else ''}{numbers.cardinal(last)}"
    return f"{numbers.year(match['first'])}{link}{tail}"


BEGINS = rf"['\d-]|[cC]\.|{_ANY_MONTH}|{_WEEKDAY}"


def rules(dialect: Dialect) -> list[Rule]:
    """The rules for dates as they are written in a dialect."""
    clock = r"(?:T(?P<hours>[01]\d|2[0-3]):(?P<minutes>[0-5]\d)(?::\d\d(?:\.\d+)?)?"
    clock += r"(?:Z|(?P<ahead>[+-])(?P<zone>\d\d):?(?P<zone_minutes>\d\d))?)?"
    one_two = rf"{FREE}(?P<one>\d\d?)(?P<sign>SIGN)(?P<two>\d\d?)(?P=sign)"
    slashes = one_two.replace("SIGN", "[/-]") + rf"(?P<year>\d{{4}}|\d\d){_SPLIT}"
    points = one_two.replace("SIGN", "[.]") + rf"(?P<year>\d{{4}}){_SPLIT}"
    return [
        rule(
            rf"{FREE}(?P<year>{_YEAR})(?P<sign>[-/.])(?P<month>\d\d?)(?P=sign)(?P<day>\d\d?){clock}"
            r"(?![\w/-]|[.,:]\d)",
            _say_iso(dialect),
        ),
        rule(slashes, _say_digits(dialect == "british", dialect)),
        rule(points, _say_digits(True, dialect)),
        rule(
            rf"{FREE}(?P<month>0?[1-9]|1[0-2])/(?P<year>(?:1[5-9]|20|21)\d\d){_SPLIT}",
            _say_month_year,
        ),
        rule(  # 20240501
            rf"{FREE}(?P<year>(?:19|20)\d\d)(?P<month>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01])"
            rf"{END}(?P<hours>)",
            _say_iso(dialect),
        ),
        rule(  # 01-May-2024
            rf"{FREE}(?P<day>{_DAY})(?P<last>)-(?P<month>{_BARE_MONTH})-(?P<year>\d{{4}}|\d\d)(?!\w)",
            _say_day_month,
        ),
        rule(  # Sep-23
            rf"(?<!\w)(?P<month>{_SHORT_MONTH})-(?=\d\d(?![\w-]))",
            lambda m: month_name(m["month"]),
        ),
        rule(
            rf"{FREE}(?P<one>0?[1-9]|[12]\d|3[01])/(?P<two>0?[1-9]|[12]\d|3[01])(?P<year>){_SPLIT}",
            _say_short_digits(dialect),
        ),
        rule(
            rf"{FREE}(?P<one>\d\d?)/(?P<two>\d\d?)(?P<year>)-(?P<rest>\d\d?/\d\d?){_SPLIT}",
            _say_days(dialect),
            begins=r"\d\d?/\d\d?-\d\d?/\d\d?$",
            reach=1,
        ),
        # March 5, Mar. 3-5, Feb 29, 2024.
        rule(
            rf"(?<!\w)(?P<month>{_ANY_MONTH}) ?(?P<day>{_DAY})(?:st|nd|rd|th)?"
            rf"(?: ?- ?(?P<last>{_DAY})(?:st|nd|rd|th)?)?(?![\w%/]|[.:]\d|,\d|-\d)"
            rf"(?:,? (?P<year>{_YEAR})(?![\w%]|[.,:-]\d))?",
            _say_month_day(dialect),
            begins=rf"{_ANY_MONTH}(?:$|\d)",
            reach=4,
            goes_on=r"[\d-][\dstndrh-]*[,.]?",
        ),
        # 12 Feb., 5th of May, 1-3 June 2024.
        rule(
            rf"{FREE}(?P<day>{_DAY})(?:st|nd|rd|th)?(?: ?- ?(?P<last>{_DAY})(?:st|nd|rd|th)?)?"
            rf"(?: of)? (?P<month>{_BARE_MONTH}){END}(?:\.(?=,? \d| [a-z]))?"
            rf"(?:,? (?P<year>{_YEAR})(?![\w%]|[.,:-]\d))?",
            _say_day_month,
            begins=rf"{_DAY}(?:st|nd|rd|th)?(?:-{_DAY}(?:st|nd|rd|th)?)?$",
            reach=4,
            goes_on=so_far(
                rf"{_DAY}(?:st|nd|rd|th)?(?: ?-(?: ?{_DAY}(?:st|nd|rd|th)?)?)?"
                rf"(?: of)?(?: {_ANY_MONTH},?)?"
            ),
        ),
        rule(rf"(?<=\d)-(?={_BARE_MONTH}(?!\w))", range_word),  # Jan 3-Feb 2
        # Short names of months and weekdays.
        rule(
            rf"(?<!\w)(?P<one>{_ANY_MONTH})(?: ?- ?(?P<two>{_ANY_MONTH}))(?!\w)",
            lambda m: f"{month_name(m['one'])} to {month_name(m['two'])}",
            begins=rf"{_ANY_MONTH}(?:$|-)",
            reach=2,
            goes_on=rf"-|{_ANY_MONTH}[,;:!?)]*",
        ),
        rule(
            rf"(?<!\w)(?P<one>{_WEEKDAY})\.? ?- ?(?P<two>{_WEEKDAY})(?!\w)"
            r"(?:\.(?=[,;:!?]| [a-z\d]))?",
            lambda m: f"{_say_weekday(m['one'])} to {_say_weekday(m['two'])}",
            begins=rf"(?:{_WEEKDAY})\.?(?:$|-)",
            reach=2,
            goes_on=rf"-|(?:{_WEEKDAY})[.,;:!?)]*",
        ),
        rule(
            rf"(?<!\w)(?P<month>{_SHORT_MONTH})(?= {_YEAR}|/)",
            lambda m: month_name(m["month"]),
            begins=rf"(?:{_SHORT_MONTH})$",
            reach=1,
        ),
        rule(
            rf"(?<!\w)(?P<day>{_WEEKDAY})"
            rf"(?=,? (?:\d|(?:{_LONG_MONTH}|{_SHORT_MONTH})\b|(?:at|@) \d|closed\b)|/)",
            lambda m: _say_weekday(m["day"]),
            begins=rf"(?:{_WEEKDAY}),?$",
            reach=2,
        ),
        rule(  # Wed's
            r"(?<![\w'.-])(?P<day>Mon|Tues?|Wed|Thu(?:rs)?|Fri)'s(?!\w)",
            lambda m: f"{_say_weekday(m['day'])}'s",
        ),
        rule(  # Mon, Wed & Fri
            rf"(?<![\w'.-])(?P<day>{_SHORT_WEEKDAY})(?=(?:,|,? (?:and|or|&)) (?:{_WEEKDAY})(?!\w))",
            lambda m: _say_weekday(m["day"]),
            begins=rf"(?:{_SHORT_WEEKDAY}),?$",
            reach=2,
            goes_on="and|or|&",
        ),
        rule(
            rf"(?<![\w'.-])(?P<day>{_SHORT_WEEKDAY})(?![\w.'-])",
            lambda m: (
                _say_weekday(m["day"])
                if m["day"] in _CLEAR_WEEKDAYS or _BEHIND_WEEKDAY.search(m.string, 0, m.start())
                else None
            ),
        ),
        # Years.
        rule(
            rf"{FREE}(?P<first>{_YEAR})(?P<link>[-/])(?P<last>\d\d){_SPLIT}",
            _say_span_of_years,
        ),
        rule(
            r"(?<![\w.])'?(?<!\d)(?P<digits>(?:[12]\d)?\d0)'?s(?![A-Za-z])",
            _say_decade,
            begins=r"\d0s$",
            reach=1,
        ),
        rule(
            r"(?<![\w.,])(?P<year>\d{1,3}(?:,\d{3})+|\d{1,5}) ?"
            rf"(?P<era>{_ERA})(?![A-Za-z])(?:\.(?! [A-Z]|$))?",
            _say_era,
            begins=r"\d[\d,]*(?:$|[ABC])",
            reach=1,
        ),
        rule(
            rf"{FREE}(?P<year>10\d\d){_BEHIND_YEAR}",
            _say_early_year,
            begins=r"10\d\d$",
            reach=1,
        ),
        rule(
            rf"(?<!\w)[cC](?:\.(?= (?:{_ERA})\b)|(?<=c)\.(?=[,;:!?)]| [a-z(])|(?<=c)(?=\.))",
            _say_century,
            begins=r"[cC]\.$",
            reach=1,
        ),
        rule(r"(?<!\w)'(?P<year>\d\d)(?![\w])", lambda m: f"'{_say_short_year(m['year'])}"),
    ]
