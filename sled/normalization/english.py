"""Normalisation of English text that may still grow.

Text is processed word by word. A word is complete at the white space (or the end of the text) that
follows it. It is then written out at once, unless the next word may change how it is said, as in
"$5 million", "No. 7" or "in the U.S. He came": then it waits for the next word, but for no more.
So the output never changes when the text grows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sled.normalization.spoken import SpokenWord, text_of, words_with_span
from sled.normalization.tables import LETTER_GAP
from sled.normalization.words import depends_on_next, say_word

_SPACES = re.compile(r"\s+")
# No word is this long. Longer runs, such as Chinese clauses, are processed before they end.
_MAX_RUN = 64

_SIGNS = str.maketrans(
    dict.fromkeys("“”„‟«»″", '"')
    | dict.fromkeys("‘’‚‛`´′", "'")
    | dict.fromkeys("‐‑‒−", "-")  # hyphens and minus; longer dashes separate words
    | dict.fromkeys("[{", "(")
    | dict.fromkeys("]}", ")")
    | dict.fromkeys("™®©\u00ad\u200b\u200c\u200d\u2060\ufeff", None)  # not spoken
)
# Emoji, arrows, bullets, ticks and the like: language models write them, and they are not spoken.
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
# Alone between spaces these are a pause: dashes, and the signs before headings, lists and code.
_PAUSE = re.compile(r"[—―–]|[#*_~|>]|[-#*_~|>=:]{2,}|'{3}")


@dataclass(frozen=True)
class _Word:
    """A complete word, and the space after it, if there is any.

    The span is that of the characters between two spaces that the word is one of.
    """

    text: str
    gap: str
    start: int
    end: int


def in_small_letters(said: str) -> str:
    """Spoken words for a model: in small letters, and LETTER_GAP as a space."""
    return said.replace(LETTER_GAP + " ", " ").replace(LETTER_GAP, " ").lower()


def in_own_case(said: str) -> str:
    """Spoken words for another speech synthesis: in their own case, spelled letters as in U.S."""
    return said.replace(LETTER_GAP, ".")


class EnglishNormalizer:
    """Normalises a text that comes in pieces, see `sled.normalization.Normalizer`.

    White space becomes single spaces; quotes, dashes and letters with accents become their plain
    forms. A text that is not blank does not become blank.

    Args:
        write: Returns the spelling of the spoken form of a word, given with the space after it.
    """

    def __init__(self, write: Callable[[str], str] = in_small_letters) -> None:
        self._write = write
        self._run = ""  # the characters since the last white space
        self._num_taken = 0  # characters before the run
        self._waiting: tuple[_Word, ...] = ()  # complete words without output yet
        self._before = ""  # the last word with output, as it was written

    @property
    def open_text(self) -> str:
        """The end of the input that has no output yet; signs may differ from the input."""
        return "".join(word.text + word.gap for word in self._waiting) + self._run

    def feed(self, piece: str) -> list[SpokenWord]:
        """Take the next characters; returns the output that no later character can change."""
        words = list(self._waiting)
        text, start = self._run + piece, 0
        for space in _SPACES.finditer(text):
            words += _words_of(text[start : space.start()], self._num_taken + start, gap=" ")
            start = space.end()
        while len(text) - start > _MAX_RUN:
            run = text[start : start + _MAX_RUN]
            words += _words_of(run, self._num_taken + start, gap="")
            start += _MAX_RUN
        self._run = text[start:]
        self._num_taken += start
        return self._say(words, ended=False)

    def finish(self) -> list[SpokenWord]:
        """End the text; returns the rest of the output."""
        words = [*self._waiting, *_words_of(self._run, self._num_taken, gap="")]
        self._num_taken += len(self._run)
        self._run = ""
        return self._say(words, ended=True)

    def _say(self, words: list[_Word], *, ended: bool) -> list[SpokenWord]:
        """The output for all words that do not have to wait for the next one."""
        said: list[SpokenWord] = []
        place = 0
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
            said += words_with_span(self._write(text + last.gap), word.start, last.end)
            self._before = last.text
        self._waiting = tuple(words[place:])
        return said


def verbalize(text: str) -> str:
    """Normalise a whole text for another speech synthesis, in its own case."""
    normalizer = EnglishNormalizer(in_own_case)
    return text_of(normalizer.feed(text) + normalizer.finish())


def _words_of(run: str, start: int, gap: str) -> Iterator[_Word]:
    """The words of a run between two spaces, of any length; the last one gets the gap.

    Args:
        run: The characters of the run.
        start: How many characters of the input are before it.
        gap: The space after the run, or "".
    """
    for first in range(0, len(run), _MAX_RUN):
        part = run[first : first + _MAX_RUN]
        span = start + first, start + first + len(part)
        texts = _split(part)
        for text in texts[:-1]:
            yield _Word(text, " ", *span)
        yield _Word(texts[-1], gap if first + _MAX_RUN >= len(run) else "", *span)


def _split(run: str) -> list[str]:
    """The words of a run between two spaces, at least one.

    A pause, such as a dash, counts as a word. So does a run of signs that are not spoken.
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
