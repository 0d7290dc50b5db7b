"""Reads a growing text with markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import copy

from sled.text.markup.events import (
    WAIT,
    Comma,
    Event,
    Found,
    Inner,
    Item,
    Line,
    Pause,
    Result,
    Stop,
    Words,
    moved,
)
from sled.text.markup.inline import (
    find_bracket,
    find_code,
    find_entity,
    find_escape,
    find_image,
)
from sled.text.markup.lines import (
    find_at_line_start,
    find_cell_end,
    find_heading_end,
    find_in_fence,
)
from sled.text.markup.tags import find_tag
from sled.text.markup.tex import find_dollars

# What may become markup waits for at most this many characters.
MAX_WAIT = 500

_SPECIAL = re.compile(r"[<\[!&\\*_~`|$\n]")
_SPECIAL_IN_LINE = {  # more of them
    Line.PLAIN: _SPECIAL,
    Line.HEADING: re.compile(rf"{_SPECIAL.pattern}|#"),
    Line.ROW: re.compile(rf"{_SPECIAL.pattern}|[ \t]"),
}
_SPACES = re.compile(r"[^\S\n]+")
_MARKS = frozenset(".,;:!?…。！？，、；：—–-")
_CLOSERS = "\"'”’»)]}*_ \t\n\r"

_RULES: dict[str, Callable[[str, bool], Result]] = {
    "<": find_tag,
    "[": find_bracket,
    "!": find_image,
    "&": find_entity,
    "\\": find_escape,
    "`": find_code,
    "$": find_dollars,
}


class MarkupReader:
    """Reads a text that comes in pieces, see `sled.text.markup`.

    What is returned, joined, does not depend on how the text was cut. The state is made of
    immutable values, so `copy.copy` makes a snapshot.
    """

    def __init__(self) -> None:
        self._text = ""  # what has not been read yet
        self._start = 0  # its offset in the source
        self._before = ""  # the character before it
        self._at_line_start = True  # or after the spaces there
        self._line = Line.PLAIN
        self._fence = ""
        self._said = ""  # the last character that was returned, apart from spaces and closing signs
        self._emphasis = ""  # the signs of emphasis that are open

    def feed(self, piece: str) -> list[Event]:
        """Take the next characters; returns what no later character can change."""
        self._text += piece
        return self._read(ended=False)

    def finish(self) -> list[Event]:
        """End the text; returns the rest."""
        return self._read(ended=True)

    def _read(self, *, ended: bool) -> list[Event]:
        events: list[Event] = []
        text, at = self._text, 0
        while at < len(text):
            window = text[at : at + MAX_WAIT]
            found = self._find(window, ended or len(window) == MAX_WAIT)
            if found is WAIT:
                break
            if found is None:
                end = self._plain_end(window)
                found = Found(end, (Words(window[:end], 0, end),))
            for item in found.items:
                self._emit(events, moved(item, self._start + at), window, self._start + at)
            self._pass(window[: found.end], found)
            at += found.end
        self._text = text[at:]
        self._start += at
        return events

    def _find(self, text: str, full: bool) -> Result:
        """The markup at the beginning of a text."""
        if self._fence:
            return find_in_fence(text, full, self._fence, self._at_line_start)
        if self._at_line_start and (found := find_at_line_start(text, full)) is not None:
            return found
        sign = text[0]
        if sign in "*_~":
            return self._find_emphasis(text, full)
        if sign == "\n":
            gap = {Line.HEADING: "\n\n", Line.ROW: "\n"}.get(self._line)
            return Found(1, line=Line.PLAIN, items=(Stop(0, 1, gap),)) if gap else None
        if self._line is Line.ROW and sign in "| \t":
            return find_cell_end(text, full)
        if self._line is Line.HEADING and sign == "#":
            return find_heading_end(text, full)
        return _RULES[sign](text, full) if sign in _RULES else None

    def _plain_end(self, text: str) -> int:
        """Where plain text ends at the latest: before the next sign that may be markup."""
        if text[0] == "\n":
            return 1
        if self._at_line_start and (spaces := _SPACES.match(text)):
            return spaces.end()
        match = _SPECIAL_IN_LINE[self._line].search(text, 1)
        return len(text) if match is None else match.start()

    def _find_emphasis(self, text: str, full: bool) -> Result:
        """A run of `*`, `_` or `~`: left out at the edges of words, kept elsewhere."""
        sign = text[0]
        end = len(text) - len(text.lstrip(sign))
        if end == len(text) and not full:
            return WAIT
        before, after = self._before, text[end : end + 1]
        if sign == "~":
            is_markup = end == 2 and not (before.isspace() and after.isspace())
        else:
            opens = bool(after) and not after.isspace() and not before.isalnum()
            closes = bool(before) and not before.isspace() and not after.isalnum()
            is_markup = opens or (closes and sign in self._emphasis)
            if opens:
                self._emphasis += sign
            elif is_markup:
                self._emphasis = self._emphasis.replace(sign, "", 1)
        return Found(end, () if is_markup else (Words(text[:end], 0, end),))

    def _pass(self, read: str, found: Found) -> None:
        """Move over what has been read."""
        self._before = read[-1:] or self._before
        if found.line is not None:
            self._line = found.line
        if found.fence is not None:
            self._fence = found.fence
        if read.endswith("\n"):
            self._at_line_start = True
        elif not read.isspace():
            self._at_line_start = found.keeps_line_start

    def _emit(self, events: list[Event], item: Item, text: str, start: int) -> None:
        """Append what an item means to the events.

        Args:
            events: The events so far.
            item: The item, with offsets in the source.
            text: A text that holds it.
            start: The offset of that text.
        """
        match item:
            case Inner():
                inner = copy(self)
                inner._text, inner._start = text[item.start - start : item.end - start], item.start
                inner._at_line_start, inner._line = False, Line.PLAIN
                events += inner.finish()
                self._said = inner._said
                return
            case Stop():
                needs_mark = self._said and self._said not in _MARKS
                said = ("." if needs_mark else "") + item.gap
                item = Words(said, item.start, item.end)
            case Comma():
                sign = " " if not self._said or self._said in _MARKS else ", "
                item = Words(sign, item.start, item.end)
        if isinstance(item, Pause):
            self._said = ""
        elif item.text:
            self._said = item.text.rstrip(_CLOSERS)[-1:] or self._said
        else:
            return
        events.append(item)
