"""What reading markup gives: words and pauses, with the characters that they come from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final


@dataclass(frozen=True)
class Words:
    """Plain text.

    Attributes:
        text: What is to be said.
        start: Where the characters that it comes from start in the source.
        end: Where they end. If there are as many as in the text, each comes from one of them;
            otherwise the text comes from all of them together.
        phonemes: How the text is pronounced, as it was written. None: as usual.
    """

    text: str
    start: int
    end: int
    phonemes: str | None = None


@dataclass(frozen=True)
class Pause:
    """A silence that the text asks for."""

    seconds: float
    start: int
    end: int


@dataclass(frozen=True)
class Inner:
    """A span of the source that is read by itself, such as the text of a link."""

    start: int
    end: int


@dataclass(frozen=True)
class Stop:
    """The end of a heading, a row or a paragraph: a full stop if there is no mark, and a gap."""

    start: int
    end: int
    gap: str


@dataclass(frozen=True)
class Comma:
    """The end of a cell of a table: a comma if there is no mark."""

    start: int
    end: int


Event = Words | Pause
Item = Words | Pause | Inner | Stop | Comma


class Line(Enum):
    """Kinds of lines whose end has a meaning."""

    PLAIN = "plain"
    HEADING = "heading"
    ROW = "row of a table"


@dataclass(frozen=True)
class Found:
    """Markup at the beginning of a text.

    Attributes:
        end: Its length.
        items: What it means, with offsets from its first character.
        line: The kind of the line from here on. None: unchanged.
        fence: The signs that end the fence of code that begins here; "" for the end of a fence.
            None: unchanged.
        keeps_line_start: Whether what follows is still at the start of its line.
    """

    end: int
    items: tuple[Item, ...] = ()
    line: Line | None = None
    fence: str | None = None
    keeps_line_start: bool = False


class Wait(Enum):
    """The type of `WAIT`."""

    WAIT = "later characters decide"


WAIT: Final = Wait.WAIT

Result = Found | Wait | None
"""What a rule finds at the beginning of a text: None for no markup."""


def moved(item: Item, offset: int) -> Item:
    """An item with its offsets increased."""
    return replace(item, start=item.start + offset, end=item.end + offset)
