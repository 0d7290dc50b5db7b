"""Runs of characters between white space, and the pauses at the ends of lines.

A reader pauses at the end of a line that ends a paragraph, a heading, an item of a list or a short
line of its own, but not where a long paragraph is wrapped:

- At a blank line, and before and after a heading: as at a full stop.
- At the end of a line of less than MAX_SHORT_LINE characters: as at a comma.
- At the end of a longer item of a list, or of a longer line before one: as at a full stop.
- At any other line end there is no pause.

There is no second pause where the line ends with a mark. The signs of bullets and headings are not
said, the numbers of a list are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sled.normalization.characters import Traced, plain
from sled.normalization.rules import word_table

SPACE, COMMA, STOP = " ", "\n", "\v"  # what separates two runs; the last two are pauses
MAX_SHORT_LINE = 40
# No run is longer. The rest of a longer one is processed as if there were a space.
MAX_RUN = 200

_GAP = re.compile(
    r"[ \t\n\v\f\r\x1c-\x1f\x85\u1680\u2000-\u2006\u2008\u200a\u2028\u2029\u205f\u3000]+"
)
_NEW_LINE = re.compile("\r\n|[\n\v\f\r\x85\u2028\u2029]")
_BULLET = re.compile(r"[-*+•‣⁃◦▪▫■□●○·–—✓✔☐☑→➜➔➤▶►]\ufe0f?|[-=]>|#{1,6}")
_HEADING = re.compile("#{1,6}$|##+")
_NUMBER = re.compile(
    r"(?=\(?[^()]*[.)]$)\(?((?!0\d)[0-9]{1,2}|[0-9]{3}(?=\.)|[A-Za-z]|[ivxIVX]{2,5})[.)]"
)
# Numbers of items that are hardly ever letters of the alphabet.
_ROMAN = word_table("i=1 ii=2 iii=3 iv=4 vi=6 vii=7 viii=8 ix=9 xi=11 xii=12 xiii=13 xiv=14")
_BEGINS_ITEM = re.compile(rf"[-*+–—]$|[•‣⁃◦▪▫■□●○·✓✔☐☑]|{_NUMBER.pattern}$")
_RULER = re.compile(r"[-*_=~+#|:]{2,}")  # a line, or what stands under a heading
_DIVIDERS = ("|", "•")  # between the cells of a table, or parts of a line
_CHECK_BOX = re.compile(r"\[[xX]?\]|\[|\]")


@dataclass(frozen=True)
class Run:
    """A run of characters between white space.

    Attributes:
        traced: The run in the plain alphabet, with places in the whole input.
        before: What separates it from the run before: SPACE, COMMA or STOP.
        ends_line: Whether the white space after it begins with the end of a line.
    """

    traced: Traced
    before: str
    ends_line: bool


class Lines:
    """Finds the runs of a text that comes in pieces.

    Its attributes are immutable values, so `copy.copy` makes a snapshot.

    Args:
        column: How many characters of its line are before the text.

    Attributes:
        unspoken: Characters that cannot be said, each once.
    """

    def __init__(self, column: int = 0) -> None:
        self.unspoken: tuple[str, ...] = ()
        self._open = ""  # characters since the last white space
        self._space = ""  # the last white space
        self._num_taken = 0  # characters before both
        self._column = column
        self._separator = SPACE  # what is before the next run, if that is known
        self._begins_line = column == 0  # whether the next run is the first one of its line
        self._after_bullet = False
        # What the current line is.
        self._is_item = self._is_heading = False

    @property
    def next_column(self) -> int:
        """The column of the text that follows."""
        return 0 if _NEW_LINE.search(self._space) else self._column + len(self._space)

    @property
    def opening(self) -> str:
        """The first sign of the run that has begun; "" if there is none, or nothing is said of it.

        What follows such a sign may still be the first that is said.
        """
        if self._open in _DIVIDERS:
            return ""
        return plain(self._open[:1])[0].stripped().text[:1]

    @property
    def pause(self) -> str:
        """What separates the text so far from what follows, as far as is known: SPACE, or a pause.

        The line that follows may make it a longer one.
        """
        num_ends = len(_NEW_LINE.findall(self._space))
        if num_ends and (num_ends > 1 or self._is_heading):
            return STOP
        if num_ends and self._column < MAX_SHORT_LINE:
            return COMMA if self._separator == SPACE else self._separator
        return STOP if num_ends and self._is_item else self._separator

    def feed(self, piece: str, *, ended: bool = False) -> list[Run]:
        """Take the next characters.

        Args:
            piece: The characters.
            ended: Whether the text is complete with them.

        Returns:
            The runs that are complete.
        """
        runs, text, start = list[Run](), self._open + piece, 0
        while start < len(text):
            gap = _GAP.search(text, start)
            end = gap.start() if gap else len(text)
            if end - start > MAX_RUN:
                end, gap = start + MAX_RUN, None
            elif gap is None and not ended:
                break
            if end > start:
                runs += self._take(text[start:end], text[end : end + 1])
            if gap is not None:
                self._space += gap[0]
                self._num_taken += len(gap[0])
            start = end if gap is None else gap.end()
        self._open = text[start:]
        return runs

    def _take(self, raw: str, follows: str) -> list[Run]:
        """Take a complete run; returns it unless nothing of it is said."""
        self._cross_space(raw)
        start, begins_line, after_bullet = self._num_taken, self._begins_line, self._after_bullet
        self._space, self._begins_line, self._after_bullet = "", False, False
        self._num_taken += len(raw)
        self._column += len(raw)
        if begins_line and (_RULER.fullmatch(raw) or raw.strip(">") == ""):
            self._begins_line = True
        elif (begins_line and _BULLET.fullmatch(raw)) or (
            after_bullet and _CHECK_BOX.fullmatch(raw)
        ):
            self._after_bullet = True
        elif raw in _DIVIDERS:
            self._separator = self._separator if begins_line else COMMA
        else:
            traced, unspoken = plain(raw)
            if unspoken:
                self.unspoken = tuple(dict.fromkeys((*self.unspoken, *unspoken)))
            if begins_line and (number := _NUMBER.fullmatch(traced.text)):
                traced = _numbered(traced, number)
            traced = traced.stripped()
            if traced.text:
                separator, self._separator = self._separator, SPACE
                ends_line = _NEW_LINE.match(follows) is not None
                return [Run(traced.moved(start), separator, ends_line)]
            self._begins_line = begins_line
        return []

    def _cross_space(self, raw: str) -> None:
        """Take the white space before a run."""
        pause = self.pause
        if not _NEW_LINE.search(self._space):
            self._column += len(self._space)
            if self._begins_line:
                self._mark_line(raw)
            return
        self._is_item = self._is_heading = self._after_bullet = False
        is_short = self._column < MAX_SHORT_LINE
        self._column, self._begins_line = 0, True
        self._mark_line(raw)
        if self._is_heading or (self._is_item and not is_short):
            pause = STOP
        self._separator = pause

    def _mark_line(self, raw: str) -> None:
        """Note what a line is that begins with a run."""
        self._is_item |= _BEGINS_ITEM.match(raw) is not None
        self._is_heading |= _HEADING.match(raw) is not None


def _numbered(traced: Traced, number: re.Match[str]) -> Traced:
    """The number of an item, in digits if it is Roman, with a full stop whatever is around it."""
    first, last = number.span(1)
    value = _ROMAN.get(number[1].lower())
    text = number[1] if value is None else value
    span = (traced.starts[first], traced.ends[last - 1])
    starts, ends = traced.starts[first:last], traced.ends[first:last]
    if value is not None:
        starts, ends = (span[0],) * len(text), (span[1],) * len(text)
    return Traced(f"{text}.", (*starts, traced.starts[-1]), (*ends, traced.ends[-1]))
