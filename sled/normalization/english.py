"""Normalisation of English text that may still grow.

A text is read from left to right. At the beginning of each word, and behind each item within a
word, the first rule of `kinds` that matches says what is said there. A rule sees the words that it
declares that it may need (see `Rule`), and nothing is said before they have arrived, so that the
output never changes when the text grows. Plain words are said as soon as the next word begins. No
rule reaches further than MAX_REACH words, so no word waits for longer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import cache

from sled.normalization.characters import DASH, without_accents
from sled.normalization.digit_groups import GROUPED
from sled.normalization.kinds import (
    abbreviations,
    addresses,
    chat,
    chess,
    clocks,
    dates,
    directions,
    durations,
    formulas,
    fractions,
    functions,
    letters,
    money,
    numerals,
    patterns,
    phones,
    prime_marks,
    roman,
    signs,
    sums,
    units,
    verses,
)
from sled.normalization.kinds.calendar import Dialect
from sled.normalization.lines import COMMA, SPACE, STOP, Lines
from sled.normalization.numbers import with_british_and
from sled.normalization.rules import LETTER_GAP, Rule
from sled.normalization.spoken import SpokenWord, text_of, words_with_span

MAX_REACH = 16
_CONTEXT = 80  # characters before an item that its rules can see
_MARK_OF_PAUSE = {COMMA: ",", STOP: "."}
_SEPARATORS = re.compile(f"[{SPACE}{COMMA}{STOP}]")
_MARKS = re.compile(rf"[{signs.MARKS}]+")
_QUOTES = "\"'"
_ENDS = frozenset(signs.MARKS)
OWNER = "'s"  # behind a numeral or a code


@cache
def _kinds(dialect: Dialect) -> tuple[tuple[re.Pattern[str], tuple[Rule, ...]], ...]:
    """The rules of each kind, with the pattern of what items of the kind begin with.

    Of the rules that match, the first one counts.
    """
    kinds = (
        (signs.BEGINS_FIRST, signs.FIRST),
        (patterns.BEGINS, patterns.RULES),
        (addresses.BEGINS, addresses.RULES),
        (phones.BEGINS, phones.RULES),
        (chat.BEGINS, chat.RULES),
        (verses.BEGINS, verses.RULES),
        (dates.BEGINS, dates.rules(dialect)),
        (clocks.BEGINS, clocks.RULES),
        (money.BEGINS, money.RULES),
        (formulas.BEGINS, formulas.RULES),
        (sums.BEGINS, sums.RULES),
        (functions.BEGINS, functions.RULES),
        (fractions.BEGINS, fractions.RULES),
        (durations.BEGINS, durations.RULES),
        (directions.BEGINS, directions.RULES),
        (units.BEGINS, units.RULES),
        (prime_marks.BEGINS, prime_marks.RULES),
        (chess.BEGINS, chess.RULES),
        (numerals.BEGINS, numerals.RULES),
        (abbreviations.BEGINS, abbreviations.RULES),
        (roman.BEGINS, roman.RULES),
        (letters.BEGINS, letters.RULES),
        (signs.BEGINS, signs.RULES),
    )
    assert all(rule.reach <= MAX_REACH for _, rules in kinds for rule in rules)
    return tuple((re.compile(begins), tuple(rules)) for begins, rules in kinds)


def in_small_letters(said: str) -> str:
    """Spoken words for a model: in small letters without accents, spelled letters as words."""
    return without_accents(_LETTER_GAP.sub(" ", said).replace(LETTER_GAP, "")).lower()


def in_own_case(said: str) -> str:
    """Spoken words for another speech synthesis: in their own case, spelled letters as in U.S."""
    said = said.replace(2 * LETTER_GAP, ".")
    return without_accents(_LETTER_GAP.sub(".", said).replace(LETTER_GAP, ""))


_LETTER_GAP = re.compile(rf"{LETTER_GAP}(?=\w)")


@dataclass(frozen=True)
class _Item:
    """A spoken word to which marks may still be added, or the marks before one."""

    text: str
    start: int
    end: int


class EnglishNormalizer:
    """Normalises a text that comes in pieces, see `sled.normalization.Normalizer`.

    White space becomes single spaces; quotes, dashes and letters with accents become their plain
    forms. What cannot be said is left out, so there may be no output at all.

    Args:
        write: Returns the spelling of spoken words, given with the space after them.
        dialect: How dates in digits and large numbers are read.
        column: How many characters of its line are before the text.
    """

    def __init__(
        self,
        write: Callable[[str], str] = in_small_letters,
        dialect: Dialect = "american",
        column: int = 0,
    ) -> None:
        self._write, self._dialect = write, dialect
        self._lines = Lines(column)
        # Complete runs in the plain alphabet, and where each character comes from.
        self._text = ""
        self._starts: tuple[int, ...] = ()
        self._ends: tuple[int, ...] = ()
        self._ends_line = False  # whether the last run does
        self._at = 0  # what is before this has been read
        self._opening: _Item | None = None  # marks before the next word
        self._word: _Item | None = None  # a word without its gap
        self._last = ""  # the last character with output
        self._end = 0  # where the span of the last word with output ends

    def __copy__(self) -> EnglishNormalizer:
        copied = object.__new__(EnglishNormalizer)
        copied.__dict__.update(self.__dict__, _lines=copy(self._lines))
        return copied

    @property
    def unspoken(self) -> tuple[str, ...]:
        """The characters that were left out since they cannot be said, each once."""
        return self._lines.unspoken

    def following(self) -> EnglishNormalizer:
        """A normalizer for the text that follows this one, which has been finished."""
        return EnglishNormalizer(self._write, self._dialect, self._lines.next_column)

    def feed(self, piece: str) -> list[SpokenWord]:
        """Take the next characters; returns the output that no later character can change."""
        return self._take(piece, ended=False)

    def finish(self, *, goes_on: bool = False) -> list[SpokenWord]:
        """End the text; returns the rest of the output. See `sled.normalization.Normalizer`."""
        return self._take("", ended=True, goes_on=goes_on)

    def _take(self, piece: str, *, ended: bool, goes_on: bool = False) -> list[SpokenWord]:
        runs = self._lines.feed(piece, ended=ended)
        if not runs and not ended and not (self._word and self._next_is_word()):
            return []
        texts, starts, ends = [self._text], list(self._starts), list(self._ends)
        for run in runs:
            if starts:
                # Before a pause, a word whose line goes on with a space has its gap already.
                gap = run.before if self._ends_line or run.before == SPACE else SPACE + run.before
                texts.append(gap)
                starts += [ends[-1]] * len(gap)
                ends += [ends[-1]] * len(gap)
            texts.append(run.traced.text)
            starts += run.traced.starts
            ends += run.traced.ends
            self._ends_line = run.ends_line
        self._text = "".join(texts)
        said = self._read(starts, ends, ended=ended, goes_on=goes_on)
        cut = max(0, self._at - _CONTEXT)
        self._text, self._at = self._text[cut:], self._at - cut
        self._starts, self._ends = tuple(starts[cut:]), tuple(ends[cut:])
        return said

    def _read(
        self, starts: list[int], ends: list[int], *, ended: bool, goes_on: bool
    ) -> list[SpokenWord]:
        """Say all items whose rules have seen what they need."""
        said: list[SpokenWord] = []
        text = self._text
        while self._at < len(text):
            at = self._at
            if text[at] in _SEPARATORS_SET:
                self._pause(said, text[at], starts[at])
                self._at += 1
                continue
            if not self._join_digits(starts, ends, ended=ended):
                return said
            text = self._text
            found = self._match(ended=ended)
            if found is None:
                return said
            words, end = found
            self._say(said, words, starts[at], ends[end - 1])
            self._at = end
        if goes_on and self._word and not self._has_mark():
            mark = _MARK_OF_PAUSE.get(self._lines.pause, "")
            self._word = replace(self._word, text=self._word.text + mark)
        if ended or self._has_mark() or self._next_is_word():
            self._flush(said, "" if ended else " ")
        return said

    def _next_is_word(self) -> bool:
        """Whether a word follows on the same line: no mark, as in "Hello !", joins the last one."""
        opening = self._lines.opening
        return not self._ends_line and opening != "" and opening not in _ENDS

    def _join_digits(self, starts: list[int], ends: list[int], *, ended: bool) -> bool:
        """Take the spaces out of a number that begins here; False if it is not known yet."""
        text, at = self._text, self._at
        end = _word_end(text, at)
        if GROUPED.begins is None or not GROUPED.begins(text, at, end):
            return True
        seen = self._reach(GROUPED, end, ended=ended)
        if seen is None:
            return False
        match = GROUPED.pattern.match(text, at, seen)
        if match and (joined := GROUPED.say(match)) is not None:
            kept = [index for index in range(at, match.end()) if text[index] != SPACE]
            for spans in (starts, ends):
                spans[at : match.end()] = [spans[index] for index in kept]
            self._text = text[:at] + joined + text[match.end() :]
        return True

    def _match(self, *, ended: bool) -> tuple[str, int] | None:
        """What is said for the next item, and where it ends; None if that is not known yet."""
        text, at = self._text, self._at
        end = _word_end(text, at)
        for begins, rules in _kinds(self._dialect):
            if not begins.match(text, at, end):
                continue
            for rule in rules:
                seen: int | None = end
                if rule.begins is not None and rule.begins(text, at, end):
                    seen = self._reach(rule, end, ended=ended)
                if seen is None:
                    return None
                match = rule.pattern.match(text, at, seen)
                if match and match.end() > at and (said := rule.say(match)) is not None:
                    return said, match.end()
        if marks := _MARKS.match(text, at):
            return signs.reduce_marks(marks[0]), marks.end()
        return text[at], at + 1

    def _reach(self, rule: Rule, end: int, *, ended: bool) -> int | None:
        """The end of the words that a rule needs to see; None if it is not known yet."""
        text = self._text
        for _ in range(rule.reach):
            if end == len(text):
                return end if ended else None
            if text[end] != SPACE or text[end + 1 : end + 2] in (COMMA, STOP):
                break
            end = _word_end(text, end + 1)
            if not rule.goes_on(text[self._at : end]):
                break
        return end

    # Output.

    def _say(self, said: list[SpokenWord], words: str, start: int, end: int) -> None:
        """Add what is said for an item; marks join the word before or after them."""
        if not words:
            return
        if words == DASH:
            if self._last not in ("", signs.PAUSE) or self._word:
                self._flush(said, " ")
                self._opening = None
                self._word = self._item(signs.PAUSE, start, end)
        elif _is_closing(words) or (words in _QUOTES and self._word and not self._opening):
            self._close(words, start, end)
        elif words in _QUOTES or words in "([":
            opening = self._opening or _Item("", start, end)
            self._opening = _Item(opening.text + words.replace("[", "("), opening.start, end)
        elif words == OWNER and self._word and not self._opening:
            self._word = replace(self._word, text=self._word.text + words, end=end)
        elif words[0].isalnum() or len(words) > 1:
            self._flush(said, " ")
            if self._dialect == "british":
                words = with_british_and(words)
            if self._opening:
                words, start = self._opening.text + words, self._opening.start
                self._opening = None
            self._word = self._item(words, start, end)

    def _item(self, text: str, start: int, end: int) -> _Item:
        """A word whose span is behind that of the last one, of which it may be a part."""
        start = max(start, self._end)
        return _Item(text, start, max(start, end))

    def _close(self, mark: str, start: int, end: int) -> None:
        mark = mark.replace("]", ")")
        if self._opening:  # nothing was said since
            left = self._opening.text.removesuffix("(") if mark == ")" else self._opening.text
            self._opening = replace(self._opening, text=left) if left else None
            return
        if self._word is None:
            return
        text = self._word.text
        if text[-1] in _ENDS and mark[0] in _ENDS:
            mark = "" if text[-1] != "." or mark == "." else mark
        if text == signs.PAUSE:
            return
        self._word = _Item(text + mark, self._word.start, end)

    def _pause(self, said: list[SpokenWord], separator: str, index: int) -> None:
        """End a word with the gap after it, and with a mark where a line ends without one.

        A word without a mark may still be joined by one behind a space, as in French.
        """
        if separator == SPACE and self._text[self._at + 1] in _ENDS and not self._has_mark():
            return
        mark = _MARK_OF_PAUSE.get(separator)
        if mark and not self._has_mark():
            if self._word:
                self._word = replace(self._word, text=self._word.text + mark)
            elif self._last not in ("", signs.PAUSE):  # the word has its gap already
                self._word = self._item(signs.PAUSE, index, index)
        self._flush(said, " ")

    def _has_mark(self) -> bool:
        """Whether there is a mark before what is read next."""
        return self._text[max(0, self._at - 9) : self._at].rstrip(" \"')]*_~")[-1:] in _ENDS

    def _flush(self, said: list[SpokenWord], gap: str) -> None:
        if self._word:
            text = self._write(self._word.text + gap)
            said += words_with_span(text, self._word.start, self._word.end)
            self._last, self._end = text.rstrip()[-1:] or self._last, self._word.end
            self._word = None


_SEPARATORS_SET = frozenset((SPACE, COMMA, STOP))


def _word_end(text: str, at: int) -> int:
    gap = _SEPARATORS.search(text, at)
    return gap.start() if gap else len(text)


def _is_closing(words: str) -> bool:
    return words[0] in ".,;:!?)]"


def verbalize(text: str) -> str:
    """Normalise a whole text for another speech synthesis, in its own case."""
    normalizer = EnglishNormalizer(in_own_case)
    return text_of(normalizer.feed(text) + normalizer.finish())
