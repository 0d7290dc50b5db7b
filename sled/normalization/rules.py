"""What a rule is: which text it matches, how far it looks ahead, and what is said instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from re import Match

# Follows a letter that is said by its name. It is white space, so no written word contains it.
LETTER_GAP = "\u00a0"

NUMBER = (
    r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?"  # 1,234.5
    r"|\d{1,2}(?:,\d\d)+,\d{3}(?!\d)"  # 1,00,000
    r"|\d{1,3}(?:\.\d{3})+,\d{1,2}(?!\d)"  # 1.234,5
    r"|\d{1,3}(?:\.\d{3}){2,}(?![\d.])"  # 1.234.567
    r"|(?<!\d,)\d+,\d{1,2}(?![\d,])"  # 3,5
    r"|\d*\.\d+|\d+)"
)
LETTER = r"[^\W\d_]"
CONSONANT = "[b-df-hj-np-tv-xz]"  # y may be a vowel
END = r"(?!\w)"  # the end of a word
FREE = r"(?<![\w.,])"  # not within a word or a number


@dataclass(frozen=True)
class Rule:
    """How one kind of written item is said.

    A rule is tried at the beginning of a word and wherever the item before it in the word ends. It
    sees the text before, the rest of the word, and following words within its reach. The next words
    may be seen before they have arrived, so only a rule that may need them waits for them.

    Attributes:
        written: The pattern of the item, which begins where the rule is tried.
        say: Returns what is said, "" for nothing, or None if the rule does not apply after all.
            Letters that are said by their names are followed by LETTER_GAP.
        begins: Whether the rule needs following words; called with the text, and where in it the
            rest of the word begins and ends. None: never.
        reach: At how many following words it may look.
        goes_on: Whether the rule looks beyond a text, from where it is tried to the end of a
            following word.
    """

    written: str
    say: Callable[[Match[str]], str | None]
    begins: Callable[[str, int, int], object] | None = None
    reach: int = 0
    goes_on: Callable[[str], bool] = bool

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The compiled pattern; that of a kind that no text has is never compiled."""
        return re.compile(self.written)


def rule(
    pattern: str,
    say: Callable[[Match[str]], str | None] | str,
    *,
    begins: str | Callable[[str, int, int], object] | None = None,
    reach: int = 0,
    goes_on: str | Callable[[str], bool] = bool,
) -> Rule:
    """A rule from the texts of its patterns; see `Rule`.

    Args:
        pattern: Pattern of the item.
        say: What is said, or a function that returns it.
        begins: Pattern of the rest of the word if the rule looks at following words, or a function
            as in `Rule`.
        reach: At how many following words it looks.
        goes_on: Pattern of the following words beyond which it looks, or a function as in `Rule`.
    """
    words = say
    goes_beyond = _last_word_matches(goes_on) if isinstance(goes_on, str) else goes_on
    return Rule(
        pattern,
        (lambda match: words) if isinstance(words, str) else words,
        _matches_from(begins) if isinstance(begins, str) else begins,
        reach,
        goes_beyond,
    )


def _matches_from(pattern: str) -> Callable[[str, int, int], object]:
    return lambda text, at, end: _compiled(pattern).match(text, at, end)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def so_far(pattern: str) -> Callable[[str], bool]:
    """For `goes_on`: whether all text of the item so far matches a pattern."""
    return lambda text: _compiled(pattern).fullmatch(text) is not None


def _last_word_matches(pattern: str) -> Callable[[str], bool]:
    return lambda text: _compiled(pattern).fullmatch(text, text.rindex(" ") + 1) is not None


def spell(letters: str) -> str:
    """Letters said by their names."""
    return "".join(letter + LETTER_GAP for letter in letters.upper())


def before(match: Match[str], num_words: int = 1) -> str:
    """The words before a match, without what separates the last one from it."""
    words = match.string[max(0, match.start() - 64) : match.start()].split(" ")
    last = [word for word in words if word][-num_words:]
    return " ".join(last)


def after(match: Match[str]) -> str:
    """The rest of the text that the rule may see."""
    return match.string[match.end() : match.endpos]


def range_word(match: Match[str]) -> str:
    """What joins the ends of a range: "and" after "between", else "to"."""
    past = match.string[max(0, match.start() - 64) : match.start()]
    return "and" if re.search(r"(?i:(?<!\w)between )\S*$", past) else "to"


def word_set(words: str) -> frozenset[str]:
    """The words of a line. Tables with quotes around each word would be three times as long."""
    return frozenset(words.split())


def word_table(entries: str) -> dict[str, str]:
    """The entries of a line, each KEY=VALUE, with _ for a space in the value."""
    pairs = (entry.split("=") for entry in entries.split())
    return {key: value.replace("_", " ") for key, value in pairs}
