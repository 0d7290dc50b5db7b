"""Splits a growing text into segments, each short enough for the model.

A segment consists of whole sentences. A sentence that is too long is cut at its best place: after a
clause, else before a conjunction, else before a preposition, else between two words, but not behind
one that belongs to the next (an article, a preposition). From the first such place on, text is held
back until the segment is full or a better place comes; it is a few words. Other text is passed on
at once, or with its word where that may be a conjunction. Among places of one kind the first is
taken, so that what remains is not a short rest, which would be said badly by itself.

The rules are our own. Libraries for this split complete texts: for a growing text they have to be
called again for every character, and change earlier results. Those for streams return a sentence
only when it has ended, and do not keep its spaces.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from sled.normalization.lines import MAX_SHORT_LINE
from sled.text.breaks import (
    CLOSERS,
    Break,
    are_tied,
    belongs_to_amount,
    break_before,
    break_before_word,
)

# A text is a list if pauses take more than this share of it.
LIST_SHARE = 0.2
# A list whose items have no more words than this on average is said item by item.
MOST_WORDS = 1.5

# Marks after which a speaker pauses, in text where spaces follow them.
_STOPS = re.compile(rf"[.?!…]{CLOSERS}(?=\s|$)")
_COMMAS = re.compile(rf"[,;:]{CLOSERS}(?=\s|$)")

_CONTEXT = 32  # characters; no rule looks back further
# Maximum characters of a run without a space that are counted together. Counting a whole long run
# again for every character would take quadratic time.
_MAX_WORD = 32


@dataclass(frozen=True)
class SegmentLimits:
    """Sizes of segments, in any unit.

    Attributes:
        target: From this size on, a segment ends with its sentence. Without one up to the limit it
            ends with a clause or before a conjunction in the second half between the two, else
            before a preposition or another word in the last quarter.
        limit: A segment may exceed this size only with the end of its last word.
        word: The space kept free for one more word: a segment that has less ends before it. An
            incomplete word may count for more than the whole word, as tokens do.
        cut: No segment exceeds this size, even if a word has to be cut. None: the limit.
        stop: The size that the pause after a stop adds. Lists of short sentences take more time
            than their words.
        comma: The size that the pause after another mark adds.
        items: From this size on, a segment that is a list so far ends with its item. None: lists
            are divided as other text is.
        item: The same for a segment behind such a one, if its items are single words. None: as
            for the first one.
    """

    target: int
    limit: int
    word: int = 0
    cut: int | None = None
    stop: int = 0
    comma: int = 0
    items: int | None = None
    item: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.target <= self.limit <= self.largest:
            raise ValueError(
                f"segments with target={self.target}, limit={self.limit}, cut={self.cut}: "
                "give a target of at least 1, and the others in this order"
            )

    @property
    def largest(self) -> int:
        """The maximum size of a segment."""
        return self.limit if self.cut is None else self.cut

    def pauses(self, text: str) -> int:
        """The size that the pauses after the marks in a text add."""
        if not (self.stop or self.comma):
            return 0
        return self.stop * len(_STOPS.findall(text)) + self.comma * len(_COMMAS.findall(text))

    def smallest(self, kind: Break) -> float:
        """The minimum size of a segment that ends with this kind of break."""
        way, latest = self.limit - self.target, self.limit - self.word
        return {
            Break.SENTENCE: min(latest, self.target),
            Break.CLAUSE: min(latest, self.target + way / 2),
            Break.CONJUNCTION: min(latest, self.target + way / 2),
            Break.PREPOSITION: min(latest, self.target + way * 3 / 4),
            Break.WORD: min(latest, self.target + way * 3 / 4),
            Break.TIED_WORD: min(latest, self.target + way * 3 / 4),
            Break.NONE: inf,
        }[kind]


@dataclass(frozen=True)
class Piece:
    """More text of the open segment."""

    text: str


@dataclass(frozen=True)
class Boundary:
    """The open segment is complete; the following text belongs to the next one."""


def _num_bytes(text: str) -> int:
    return len(text.encode())


class SegmentSplitter:
    """Finds the boundaries between the segments of a growing text.

    The pieces that `feed` and `finish` return, joined, are the text. The boundaries do not depend
    on how the text was cut into pieces. They are before a word, so the space between two segments
    belongs to the first one. No segment is blank, unless the whole text is. The state is made of
    immutable values, so `copy.copy` makes a snapshot.

    Args:
        limits: Sizes of segments, in the unit of `count`.
        count: Returns the size of a word, given with the space before it if there is one. The size
            of a segment is the sum over its words. By default it is in characters, with white
            space as in `normalize_spaces`; `TextTokenizer.count` counts tokens.
        max_count: Returns an upper bound of the sizes of the words of a text together. It is called
            for every character, and `count` only where the bound exceeds a limit. By default the
            number of UTF-8 bytes, which is right for characters and for byte-level tokens.
    """

    _candidate: Break
    _held: str
    _holds_word: bool

    def __init__(
        self,
        limits: SegmentLimits,
        count: Callable[[str], int] = len,
        max_count: Callable[[str], int] = _num_bytes,
    ) -> None:
        self._limits = limits
        self._count_words, self._max_count_words = count, max_count
        self._follows_list = False  # whether the segment before was a list of single words
        self._column = 0  # characters of the open line
        self._start_segment()

    def feed(self, piece: str) -> list[Piece | Boundary]:
        """Take the next characters; returns the text that is certain, with boundaries between."""
        events: list[Piece | Boundary] = []
        sure: list[str] = []  # text of the open segment, for the next event
        characters = deque(piece)
        while characters:
            kind, is_full = self._break_before(characters[0])
            if is_full and self._candidate is not Break.NONE:
                characters.extendleft(reversed(self._held))  # they belong to the next segment
                self._held = ""
            if is_full or kind is Break.SENTENCE:
                sure.append(self._held)
                events += [*_piece(sure), Boundary()]
                sure = []
                self._follows_list = self._has_short_items
                self._start_segment()
            elif kind.value > self._candidate.value:
                self._hold_from(len(self._held), kind, sure)
            character = characters.popleft()
            if character.isspace():
                self._end_word(sure)
            else:
                self._holds_word |= self._may_be_conjunction()
            self._append(character)
            if self._candidate is Break.NONE and not self._holds_word:
                sure.append(character)
            else:
                self._held += character
        return [*events, *_piece(sure)]

    def finish(self) -> list[Piece | Boundary]:
        """End the open segment, which is complete; returns the rest of its text."""
        held, self._follows_list = self._held, False
        self._start_segment()
        return [*_piece([held])]

    def _may_be_conjunction(self) -> bool:
        """Whether a word begins before which the segment may end, if it is a conjunction."""
        if not self._past[-1:].isspace() or self._candidate is not Break.NONE:
            return False
        size = self._size + self._count(self._word)
        return size >= self._limits.smallest(Break.CONJUNCTION)

    def _end_word(self, sure: list[str]) -> None:
        """Take the end of a word: the segment may end before it if it is a conjunction."""
        word = self._word.strip()
        kind = break_before_word(word, self._previous.strip())
        if (
            kind.value > self._candidate.value
            and self._held.endswith(word)
            and self._size >= self._limits.smallest(kind)
        ):
            self._hold_from(len(self._held) - len(word), kind, sure)
        elif self._holds_word:
            sure.append(self._held)
            self._held, self._holds_word = "", False

    def _hold_from(self, place: int, kind: Break, sure: list[str]) -> None:
        """Make a place in the text that is held back, or its end, the best one for a boundary."""
        sure.append(self._held[:place])
        self._held, self._candidate, self._holds_word = self._held[place:], kind, False

    def _start_segment(self) -> None:
        self._past = ""  # the end of the segment, for `break_before`
        self._size = 0  # the size of all words but the last
        self._pauses = 0  # the pauses after them
        self._word = ""  # the last word, with the space before it
        self._previous = ""  # the one before it
        self._candidate = Break.NONE  # the best break so far
        self._held = ""  # the text after it
        self._num_words = self._num_marks = 0  # all words but the last, and those before a pause
        self._has_short_items = False  # whether the segment ends as a list of single words
        self._holds_word = False  # whether the held text is a word that may be a conjunction

    def _break_before(self, character: str) -> tuple[Break, bool]:
        """The break before the next character, if the segment is long enough for it.

        Returns:
            The kind of break, and whether the segment is too full for the character.
        """
        if character.isspace() or not self._word:
            return Break.NONE, False
        # Counting is slow: it is done only near a limit, or where there is a break.
        begins_word = self._past[-1:].isspace()
        limit = self._limits.limit if begins_word else self._limits.largest
        if self._size + self._max_count(f"{self._word} {character}") > limit:
            size, word = self._grown_by(character)
            total = size + self._count(word)
            if total > self._limits.largest:
                return Break.NONE, True
            if total > limit:
                return Break.NONE, not belongs_to_amount(self._past, character)
        kind = break_before(self._past, character)
        if kind is Break.NONE:
            return kind, False
        if kind is Break.WORD and are_tied(self._word.strip(), self._previous.strip()):
            kind = Break.TIED_WORD
        size = self._size + self._count(self._word)
        if kind.value >= Break.CLAUSE.value and self._ends_items(size):
            # The last word, and the mark behind it, have not been counted.
            self._has_short_items = self._num_words + 1 <= MOST_WORDS * (self._num_marks + 1)
            return Break.SENTENCE, False
        return (kind if size >= self._limits.smallest(kind) else Break.NONE), False

    def _ends_items(self, size: int) -> bool:
        """Whether the segment, of this size, is a list that is long enough."""
        least = self._limits.items
        if self._follows_list and self._limits.item is not None:
            least = self._limits.item
        if least is None or size < least:
            return False
        pauses = self._pauses + self._limits.pauses(self._word)
        return pauses > LIST_SHARE * size

    def _count(self, word: str) -> int:
        """The size of a word, with the pause after it."""
        return self._count_words(word) + self._limits.pauses(word)

    def _max_count(self, text: str) -> int:
        """An upper bound of `_count` for the words of a text together."""
        pause = max(self._limits.stop, self._limits.comma)
        return self._max_count_words(text) + pause * len(text.split())

    def _grown_by(self, character: str) -> tuple[int, str]:
        """`_size` and `_word` after a character other than white space."""
        space = " " if self._past[-1:].isspace() else ""
        if space or len(self._word) >= _MAX_WORD:
            return self._size + self._count(self._word), space + character
        return self._size, self._word + character

    def _append(self, character: str) -> None:
        if not character.isspace():
            size, word = self._grown_by(character)
            if size > self._size:
                pause = self._limits.pauses(self._word)
                self._pauses += pause
                self._num_words, self._num_marks = (
                    self._num_words + 1,
                    self._num_marks + (pause > 0),
                )
                self._previous = self._word
            self._size, self._word = size, word
            self._past = (self._past + character)[-_CONTEXT:]
        elif self._word:  # white space before the first word is ignored
            if character == "\n" and self._ends_short_line():
                self._word += ","  # as it is said
            self._past = _widen_gap(self._past, character)
        self._column = 0 if character == "\n" else self._column + 1

    def _ends_short_line(self) -> bool:
        """Whether a line ends here without a mark, at which a reader pauses."""
        is_short = 0 < self._column < MAX_SHORT_LINE and self._limits.comma > 0
        return is_short and not self._limits.pauses(self._word)


def split_segments(
    text: str,
    limits: SegmentLimits,
    count: Callable[[str], int] = len,
    max_count: Callable[[str], int] = _num_bytes,
) -> list[str]:
    """The segments of a whole text, as `SegmentSplitter` finds them."""
    segments = [""]
    splitter = SegmentSplitter(limits, count, max_count)
    for event in splitter.feed(text) + splitter.finish():
        if isinstance(event, Boundary):
            segments.append("")
        else:
            segments[-1] += event.text
    return segments


def _piece(parts: list[str]) -> list[Piece | Boundary]:
    """A piece of these parts; none if they are empty."""
    text = "".join(parts)
    return [Piece(text)] if text else []


def _widen_gap(past: str, character: str) -> str:
    """Append white space to the end of a text: it becomes a space, a line end, or a blank line."""
    if character == "\n":
        return past if past.endswith("\n\n") else past.removesuffix(" ") + "\n"
    return past if past[-1].isspace() else past + " "
