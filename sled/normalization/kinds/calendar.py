"""The calendar: names of months and weekdays with their short forms, and the words of a date."""

from __future__ import annotations

from typing import Literal, get_args

from sled.normalization import numbers

Dialect = Literal["american", "british"]
DIALECTS: tuple[str, ...] = get_args(Dialect)

MONTHS = [
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
SHORT_MONTHS = {name[:3]: name for name in MONTHS} | {
    "Sept": "September",
    "Febr": "February",
}
SHORT_WEEKDAYS = {name[:3]: name for name in WEEKDAYS} | {
    "Tues": "Tuesday",
    "Weds": "Wednesday",
    "Thur": "Thursday",
    "Thurs": "Thursday",
}
# Years of two digits up to this one are in the 21st century.
_LAST_SHORT_YEAR = 30


def month_name(name: str) -> str:
    """The name of a month from any form of it."""
    name = name.removesuffix(".").capitalize()
    return SHORT_MONTHS.get(name, name)


def say_day(day: int, month: str, dialect: Dialect) -> str:
    """A day of a month: "May first", or "the first of May" in British English."""
    day_name = numbers.ordinal(day)
    return f"the {day_name} of {month}" if dialect == "british" else f"{month} {day_name}"


def say_year(digits: str) -> str:
    """A year of two or four digits."""
    if len(digits) == 2:
        digits = ("20" if int(digits) <= _LAST_SHORT_YEAR else "19") + digits
    return numbers.year(digits)
