"""Turns a text as it is fed into plain text, and traces what is said of it back.

    fed text -> MarkupReader -> PronunciationReader -> plain text -> splitter, normalizer

Offsets in the fed text count characters; the two halves of a surrogate pair count as one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from copy import copy

from sled.normalization import SpokenWord
from sled.normalization.phoneme_alphabet import read_phonemes
from sled.normalization.spoken import words_with_span
from sled.text.markup import Event, MarkupReader, Pause, Words
from sled.text.offsets import OffsetMap
from sled.text.pronunciations import PronunciationReader, Pronunciations

logger = logging.getLogger(__name__)

PHONEMES = "english-phonemes"
_NO_PHONEMES = "this model was not trained on phonemes"
MAX_PAUSE_S = 10.0

# A word with phonemes of its own goes through the normalizer as this one, whose phonemes are then
# replaced. So the punctuation around it is treated as that of any word.
_STAND_IN = "word"
_STAND_IN_PHONEMES = re.compile("w[ˈˌ]?ɜɹd")

_HALF = re.compile("[\ud800-\udbff]\\Z")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_LONE = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\ufffd"


class PlainTextReader:
    """Reads a text that comes in pieces.

    What is returned, joined, does not depend on how the text was cut. The state is made of
    immutable values, so `copy.copy` makes a snapshot.

    Args:
        normalization: How the plain text is normalised, see `sled.normalization`.
        pronunciations: The dictionary. None: none.
        markup: Whether markup is read; otherwise it is text as any other.

    Raises:
        ValueError: The dictionary has phonemes, and the model was not trained on any.
    """

    def __init__(
        self,
        normalization: str | None,
        pronunciations: Pronunciations | None = None,
        markup: bool = True,
    ) -> None:
        pronunciations = pronunciations or Pronunciations({})
        self._has_phonemes = normalization == PHONEMES
        if (words := pronunciations.with_phonemes) and not self._has_phonemes:
            raise ValueError(
                f"{words[0]!r} has phonemes, and {_NO_PHONEMES}: write it as it sounds, or take a "
                "model with the normalisation english-phonemes"
            )
        self._warned = False  # whether a warning named phonemes that cannot be read
        self._half = ""  # the first half of a surrogate pair
        self._num_fed = 0
        self._written = ""  # the fed text that `take_written` has not returned
        self._markup = MarkupReader() if markup else None
        self._words = PronunciationReader(pronunciations) if pronunciations else None
        self._offsets = OffsetMap()
        self._pronounced: tuple[tuple[int, int, str], ...] = ()  # spans of stand-ins, and phonemes

    def __copy__(self) -> PlainTextReader:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._markup, other._words = copy(self._markup), copy(self._words)
        other._offsets = copy(self._offsets)
        return other

    def feed(self, piece: str) -> list[str | Pause]:
        """Take the next characters.

        Returns:
            Plain text and pauses, in order.
        """
        text = self._half + piece
        half = _HALF.search(text)
        self._half = half[0] if half else ""
        return self._read(text.removesuffix(self._half), ended=False)

    def finish(self) -> list[str | Pause]:
        """End the text; returns as `feed`."""
        half, self._half = self._half, ""
        return self._read(half, ended=True)

    def _read(self, text: str, *, ended: bool) -> list[str | Pause]:
        text = well_formed(text)
        self._written += text
        events: list[Event] = []
        if self._markup is not None:
            events = self._markup.feed(text)
            events += self._markup.finish() if ended else []
        elif text:
            events = [Words(text, self._num_fed, self._num_fed + len(text))]
        self._num_fed += len(text)
        if self._words is not None:
            events = [one for event in events for one in self._words.feed(event)]
            events += self._words.finish() if ended else []
        return [self._plain(event) for event in events]

    def _plain(self, event: Event) -> str | Pause:
        """The plain text or the pause of an event."""
        if isinstance(event, Pause):
            if event.seconds > MAX_PAUSE_S:
                logger.warning("a pause of %g s becomes one of %g s", event.seconds, MAX_PAUSE_S)
                event = Pause(MAX_PAUSE_S, event.start, event.end)
            return event
        text = event.text
        phonemes = None if event.phonemes is None else self._read_phonemes(text, event.phonemes)
        if phonemes is not None:
            text = _STAND_IN.capitalize() if text[:1].isupper() else _STAND_IN
            start = self._offsets.length
            self._pronounced = (*self._pronounced, (start, start + len(text), phonemes))
            # All of the stand-in comes from all of the word.
            self._offsets.append(len(text), event.start, event.end, verbatim=False)
        else:
            self._offsets.append(len(text), event.start, event.end)
        return text

    def _read_phonemes(self, word: str, phonemes: str) -> str | None:
        """The phonemes of a word; None if it is to be read as it is spelled."""
        try:
            if not self._has_phonemes:
                raise ValueError(_NO_PHONEMES)
            return read_phonemes(phonemes)
        except ValueError as error:
            if not self._warned:
                logger.warning("%r and the like are read as they are spelled: %s", word, error)
            self._warned = True
            return None

    def trace(self, words: Sequence[SpokenWord], offset: int) -> list[SpokenWord]:
        """Spoken words of the plain text as those of the fed text.

        Args:
            words: The next words, in order.
            offset: Where the text that their spans count from begins in the plain text.

        Returns:
            The words with spans in the fed text, and with the phonemes given there.
        """
        traced: list[SpokenWord] = []
        for word in words:
            start, end = word.start + offset, word.end + offset
            source = self._offsets.source(start, end)
            text = self._pronounce(word.text, start, end)
            if text == word.text:
                traced.append(SpokenWord(text, *source))
            else:
                traced += words_with_span(text, *source)
        if words:
            self._forget(words[-1].start + offset)
        return traced

    def take_written(self, end: int | None = None) -> str:
        """The fed text from where the last call ended.

        Args:
            end: Where it ends in all fed text. None: all that has been fed.
        """
        start = self._num_fed - len(self._written)
        count = len(self._written) if end is None else max(0, end - start)
        taken, self._written = self._written[:count], self._written[count:]
        return taken

    def _pronounce(self, text: str, start: int, end: int) -> str:
        """A spoken word, with the phonemes that are given for it."""
        given = iter(
            [said for first, last, said in self._pronounced if first < end and start < last]
        )
        return _STAND_IN_PHONEMES.sub(lambda found: next(given, found[0]), text)

    def _forget(self, offset: int) -> None:
        self._offsets.forget(offset)
        self._pronounced = tuple(one for one in self._pronounced if one[1] > offset)


def plain_text(text: str, pronunciations: Pronunciations, markup: bool = True) -> str:
    """A whole text as plain text, without its pauses; arguments as of `PlainTextReader`."""
    reader = PlainTextReader(PHONEMES, pronunciations, markup)
    return "".join(one for one in [*reader.feed(text), *reader.finish()] if isinstance(one, str))


def well_formed(text: str) -> str:
    """A text in which halves of surrogate pairs are joined, and those without another replaced."""
    text = _PAIR.sub(_join, text) if _PAIR.search(text) else text
    return _LONE.sub(REPLACEMENT, text)


def _join(pair: re.Match[str]) -> str:
    """A character from the two halves of its surrogate pair."""
    return pair[0].encode("utf-16", "surrogatepass").decode("utf-16")
