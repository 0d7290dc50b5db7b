"""Where a text may be divided, and how well.

A missed break costs little, since the next one is taken; a wrong one is heard. So in doubt
(initials, short ordinals, abbreviations that may also end a sentence) there is no break. The end of
a single line counts as that of a clause only, since books have lines of equal length. Within a
clause, English is divided before conjunctions and prepositions; the lists are closed classes of
words, and words of other languages are none of them.
"""

from __future__ import annotations

import re
from enum import Enum

CLOSERS = r"[\"'”’»)\]}）」』】》〉]*"
# These need a space after them; the wide ones below do not.
_STOP = re.compile(rf"([.?!…؟۔।]+){CLOSERS}$")
_CLAUSE = re.compile(rf"([,;:،؛]|--|\s[-–]){CLOSERS}$")
_WIDE_STOP = re.compile(rf"[。！？｡]{CLOSERS}$")
_WIDE_CLAUSE = re.compile(rf"[，；：、…—]{CLOSERS}$")

_NEVER_FIRST = frozenset(".?!…؟۔।,;:،؛。！？｡，；：、—–”’»)]}）」』】》〉")
_QUOTES = frozenset("\"'")  # after a space they open, elsewhere they close
# Chinese and Japanese: a line may be broken between any two of these.
_IDEOGRAPH = re.compile(
    r"[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)

_OPEN_NUMBER = re.compile(r"\d[^\w\n]?\Z")  # 12：| 30, 1 | 000
_NOT_OF_A_WORD = re.compile(r"[^\w.]")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")  # J, U.S, e.g, a.m
_SHORT_NUMBER = re.compile(r"\d{1,2}")  # 1. First, 3. Oktober

# Words with a full stop inside a sentence; those of the second list only before a number.
_ABBREVIATION = re.compile(
    "mr|mrs|ms|mx|dr|prof|st|mt|ft|rev|hon|fr|sr|jr|messrs|mme|mlle"
    "|gen|col|capt|cmdr|lt|sgt|maj|gov|sen|rep|pres|supt"
    "|vs|cf|viz|al|ca|approx|dept|est|inc|ltd|co|corp|bros|ave|blvd|rd"
    "|jan|feb|apr|aug|sept|oct|nov|dec",
    re.IGNORECASE,
)
_NUMBER_ABBREVIATION = re.compile(
    "no|nos|nr|vol|p|pp|fig|figs|art|sec|ch|eq|op",
    re.IGNORECASE,
)

_CONJUNCTIONS = frozenset(
    """and but or nor because although though while when where which who whose whom if unless until
    since whereas then after before so that how what why""".split()  # noqa: SIM905
)
_PREPOSITIONS = frozenset(
    """about above across against along among around as at behind below beneath beside between
    beyond by despite during for from in inside into near on onto outside over through throughout
    to toward towards under upon with within without than""".split()  # noqa: SIM905
)
_ARTICLES = frozenset(
    """a an the my your our their its his her this these those some any no every each
    another""".split()  # noqa: SIM905
)
_LEADING = frozenset("of not very too even just only mr mrs ms dr".split())  # noqa: SIM905
_SUBJECTS_AND_AUXILIARIES = frozenset(
    """i you he she it we they there is are was were be been am has have had do does did will would
    can could may might must shall should""".split()  # noqa: SIM905
)
# "that", "her" and the like also stand alone: I know that, I told her.
_BELONGS_TO_PHRASE = (_CONJUNCTIONS | _PREPOSITIONS | _ARTICLES | _LEADING) - frozenset(
    "his her that this these those".split()  # noqa: SIM905
)
_BELONGS_TO_NEXT = _CONJUNCTIONS | _PREPOSITIONS | _ARTICLES | _LEADING | _SUBJECTS_AND_AUXILIARIES


class Break(Enum):
    """Kinds of places where a segment can end, with their strength."""

    SENTENCE = 6
    CLAUSE = 5
    CONJUNCTION = 4
    PREPOSITION = 3
    WORD = 2
    TIED_WORD = 1
    NONE = 0


def break_before(past: str, character: str) -> Break:
    r"""The kind of break between a text and the next character.

    Args:
        past: The text, or the end of it. White space in it is a space, "\n" for the end of a line,
            or "\n\n" for a blank line.
        character: The next character; not white space.
    """
    if past[-1:].isascii() and past[-1:].isalnum():  # within a word, the most frequent case
        return Break.NONE
    text = past.rstrip()
    gap = past[len(text) :]
    if character in _NEVER_FIRST or (not gap and character in _QUOTES):
        return Break.NONE
    if gap == "\n\n" or _WIDE_STOP.search(text):
        return Break.SENTENCE
    if character.isdigit() and _OPEN_NUMBER.search(past):
        return Break.NONE
    if gap and (stop := _STOP.search(text)):
        if stop[1] == "." and _is_abbreviated(text[: stop.start()], character):
            return Break.NONE
        if not character.islower():
            return Break.SENTENCE
    if gap == "\n" or (gap and _CLAUSE.search(text)) or _WIDE_CLAUSE.search(text):
        return Break.CLAUSE
    if gap and belongs_to_amount(past, character):
        return Break.NONE
    if gap or (_IDEOGRAPH.match(text[-1:]) and _IDEOGRAPH.match(character)):
        return Break.WORD
    return Break.NONE


def belongs_to_amount(past: str, character: str) -> bool:
    """Whether the next word may be the unit of a number, as in $5 million."""
    return past.rstrip()[-1:].isdigit() and character.isalpha()


def _is_abbreviated(text: str, character: str) -> bool:
    """Whether a full stop after a text belongs to an abbreviation or a number."""
    word = _NOT_OF_A_WORD.split(text)[-1]
    patterns = [_INITIALS, _SHORT_NUMBER, _ABBREVIATION]
    if character.isdigit():
        patterns.append(_NUMBER_ABBREVIATION)
    return any(pattern.fullmatch(word) for pattern in patterns)


def break_before_word(word: str, previous: str) -> Break:
    """The kind of break before a conjunction or preposition; none before other words.

    Args:
        word: The word.
        previous: The word before it, which may belong to it, as in "because of" and "and then".
    """
    if previous.lower() in _BELONGS_TO_PHRASE:
        return Break.NONE
    if word.lower() in _CONJUNCTIONS:
        return Break.CONJUNCTION
    return Break.PREPOSITION if word.lower() in _PREPOSITIONS else Break.NONE


def are_tied(word: str, previous: str) -> bool:
    """Whether a word belongs to the next one: an article, an adjective behind one, "he", "will".

    Args:
        word: The word.
        previous: The one before it.
    """
    return word.lower() in _BELONGS_TO_NEXT or previous.lower() in _ARTICLES
