"""English text as it is said, of a text that may still grow.

Text is taken word by word. A word is said when white space (or the end) shows that it is complete,
unless the next word may change it, as in "$5 million", "No. 7" or "in the U.S. He came": then it
waits for that one, and never for more. So what was said stays true however the text goes on.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sled.normalization.tables import LETTER_GAP
from sled.normalization.words import depends_on_next, say_word

_SPACES = re.compile(r"\s+")
# More than any word has; what is longer, such as Chinese clauses, is not held back to its end.
_MAX_RUN = 64

_SIGNS = str.maketrans(
    dict.fromkeys("“”„‟«»″", '"')
    | dict.fromkeys("‘’‚‛`´′", "'")
    | dict.fromkeys("‐‑‒−", "-")  # hyphens and minus; longer dashes stand between words
    | dict.fromkeys("[{", "(")
    | dict.fromkeys("]}", ")")
    | dict.fromkeys("™®©\u00ad\u200b\u200c\u200d\u2060\ufeff", None)  # said by nobody
)
# Emoji, arrows, bullets, ticks and the like: chat models write them, and nobody says them.
_PICTURES = (
    "[\u2022\u2023\u2043\u20e3\u2139\u2190-\u21ff\u2300-\u23ff\u2500-\u27bf\u27f0-\u27ff\u2900-\u297f"
    "\u2b00-\u2bff\ufe0e\ufe0f\U0001f000-\U0001faff\U000e0020-\U000e007f]+"
)
_PICTURES_BETWEEN = re.compile(rf"(?<=\w){_PICTURES}(?=\w)")
_PICTURES_BESIDE = re.compile(_PICTURES)
_ACCENTS = re.compile("[\u0300-\u036f]")
_FRACTIONS = {"½": "one half", "¼": "one quarter", "¾": "three quarters"}
_FRACTION = re.compile(r"([0-9])?([½¼¾])")
_RANGE = re.compile(r"(?<=[0-9])–(?=[0-9])")
_DASH = re.compile(r"([—―–]|--+)")
# Standing alone these are a pause: dashes, and what headings, lists, quotes and code begin with.
_PAUSE = re.compile(r"[—―–]|[#*_~|>]|[-#*_~|>=:]{2,}|'{3}")


@dataclass(frozen=True)
class _Word:
    """A complete word, and the space behind it, if there is any."""

    text: str
    gap: str


def in_small_letters(said: str) -> str:
    """Words that are said, in their own case and with LETTER_GAP, for a model to read."""
    return said.replace(LETTER_GAP + " ", " ").replace(LETTER_GAP, " ").lower()


def in_own_case(said: str) -> str:
    """The same for others to read aloud: letters to be spelled are written as in U.S."""
    return said.replace(LETTER_GAP, ".")


class EnglishNormalizer:
    """Normalises a text that comes in pieces, see `sled.normalization.Normalizer`.

    White space becomes single spaces; quotes, dashes and letters with accents become their plain
    forms. A text that is not blank does not become blank.

    Args:
        write: Gives the spelling of what is said of a word, the space behind it included.
    """

    def __init__(self, write: Callable[[str], str] = in_small_letters) -> None:
        self._write = write
        self._run = ""  # what has come since the last white space
        self._waiting: tuple[_Word, ...] = ()  # complete words that have not been said
        self._before = ""  # the last word that was said, as it was written

    @property
    def open_text(self) -> str:
        """The end of the text that has not come out yet, as it was fed but for its signs."""
        return "".join(word.text + word.gap for word in self._waiting) + self._run

    def feed(self, piece: str) -> str:
        """Take the next characters; returns what no later character can change."""
        *closed, self._run = _SPACES.split(self._run + piece)
        words = [word for run in closed for word in _words_of(run, gap=" ")]
        while len(self._run) > _MAX_RUN:
            words += _words_of(self._run[:_MAX_RUN], gap="")
            self._run = self._run[_MAX_RUN:]
        return self._say([*self._waiting, *words], ended=False)

    def finish(self) -> str:
        """End the text; returns the rest."""
        words = [*self._waiting, *_words_of(self._run, gap="")]
        self._run = ""
        return self._say(words, ended=True)

    def _say(self, words: list[_Word], *, ended: bool) -> str:
        """Say all words that can be said, and let the others wait."""
        said, place = [], 0
        while place < len(words):
            word, following = words[place], ""
            if word.gap and depends_on_next(word.text):
                if place + 1 < len(words):
                    following = words[place + 1].text
                elif not ended:
                    break
            text, num_words = say_word(word.text, self._before, following)
            place += num_words
            last = words[place - 1]
            said.append(self._write(text + last.gap))
            self._before = last.text
        self._waiting = tuple(words[place:])
        return "".join(said)


def verbalize(text: str) -> str:
    """A whole text in words, in its own case, for others to read aloud."""
    normalizer = EnglishNormalizer(in_own_case)
    return normalizer.feed(text) + normalizer.finish()


def _words_of(run: str, gap: str) -> Iterator[_Word]:
    """The words in what stands between two spaces, of any length, with the gap behind the last."""
    for start in range(0, len(run), _MAX_RUN):
        texts = _split(run[start : start + _MAX_RUN])
        for text in texts[:-1]:
            yield _Word(text, " ")
        yield _Word(texts[-1], gap if start + _MAX_RUN >= len(run) else "")


def _split(run: str) -> list[str]:
    """The words, at least one, of what stands between two spaces; pauses, as dashes, are some too.

    So is what nobody says, if it stands alone.
    """
    plain = _PICTURES_BETWEEN.sub(" ", run.translate(_SIGNS))
    plain = _FRACTION.sub(_spell_fraction, _PICTURES_BESIDE.sub("", plain))
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", plain))
    plain = _RANGE.sub("-", unicodedata.normalize("NFC", plain).translate(_SIGNS))
    if _PAUSE.fullmatch(plain):
        return ["-"]
    words = [word for part in plain.split() for word in _DASH.split(part) if word]
    return ["-" if _PAUSE.fullmatch(word) else word for word in words] or ["-"]


def _spell_fraction(match: re.Match[str]) -> str:
    digit, sign = match.groups(default="")
    return f"{digit} and {_FRACTIONS[sign]}" if digit else _FRACTIONS[sign]
