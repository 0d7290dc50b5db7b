"""Reads from the decoder which part of the spoken text each frame says.

A **place** is a distance in the spoken text of a session: the bytes before it, white space left
out. The places of tokens and words do not depend on how the text was cut, nor on the spaces that
the tokenizer changes.
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass

from sled.decoding import Utterance
from sled.normalization import SpokenWord
from sled.streaming.text_stage import TextEvent
from sled.text.tokenizer import EOS_ID, TextTokenizer

# In place of the place of a frame that says no text of its segment: it is before it, or behind it.
BEFORE, BEHIND = -2, -1

_SPACES = re.compile(r"\s+")


def num_places(text: str) -> int:
    """How many places a text has: its bytes, white space left out."""
    return len(_SPACES.sub("", text).encode())


@dataclass(frozen=True)
class WordPart:
    """A spoken word, or a part of one, on its way to the timeline.

    Attributes:
        size: How many places it has. 0: it only ends the word before it.
        start_char: Where the written item that it comes from begins in the fed text.
        end_char: Where that ends.
        has_sound: Whether it is more than punctuation.
        complete: Whether the next part begins another word.
    """

    size: int
    start_char: int = 0
    end_char: int = 0
    has_sound: bool = False
    complete: bool = True

    @classmethod
    def of(cls, word: SpokenWord) -> WordPart:
        """The places of a spoken word."""
        has_sound = any(character.isalnum() for character in word.text)
        complete = word.text[-1:].isspace()
        return cls(num_places(word.text), word.start, word.end, has_sound, complete)


END_OF_SEGMENT = WordPart(0)


@dataclass(frozen=True)
class SpokenPlaces:
    """What some frames of a segment say.

    Attributes:
        segment_start: The place at which the text begins that is said in this segment. Words before
            it that have not been said are left out.
        frames: The place that is being said at the end of each frame, `BEFORE` or `BEHIND`.
        words: Words that have come since the frames before.
        written: The fed text that has come with them.
        said: The place before which all has been said with these frames, since they complete their
            segment. 0: they do not.
    """

    segment_start: int = 0
    frames: tuple[int, ...] = ()
    words: tuple[WordPart, ...] = ()
    written: str = ""
    said: int = 0


class PlaceReader:
    """Gathers the places of the frames of a session; used by its segment runner.

    Args:
        tokenizer: Tokenizer of the model.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self._num_places = 0  # of all text so far
        self._segment_start = 0
        self._before = 0  # places of the text that the segment continues
        self._ends: list[int] = []  # where each token of the utterance ends, from its own beginning
        self._frames: list[int] = []
        self._words: list[WordPart] = []
        self._written, self._said = "", 0

    def copy(self) -> PlaceReader:
        """An independent copy."""
        other = copy(self)
        other._ends, other._frames, other._words = self._ends[:], self._frames[:], self._words[:]
        return other

    def add_text(self, event: TextEvent) -> None:
        """Take more text."""
        self._num_places += num_places(event.text)
        self._words += map(WordPart.of, event.words)
        if event.ends_segment:
            self._words.append(END_OF_SEGMENT)
        self._written += event.written

    def begin_segment(self, history: str, text: str) -> None:
        """Begin an utterance.

        Args:
            history: The text of the speech that it continues.
            text: All text from its beginning on, that of later segments included.
        """
        self._segment_start = self._num_places - num_places(text)
        self._before, self._ends = num_places(history), []

    def add_frame(self, utterance: Utterance) -> None:
        """Note what the newest frame of an utterance says."""
        place, position = BEFORE, utterance.text_position
        if position is not None:
            token_ids = utterance.rows[0].token_ids
            end = self._ends[-1] if self._ends else 0
            for token in token_ids[len(self._ends) :]:
                end += self._tokenizer.num_bytes(token)
                self._ends.append(end)
            start, end = self._ends[position.best - 1], self._ends[position.best]
            if token_ids[position.best] == EOS_ID:
                place = BEHIND
            elif end > self._before:  # else it belongs to the speech before
                place = self._segment_start + max(0, start - self._before)
        self._frames.append(place)

    def end_segment(self, following: str) -> None:
        """Note that all of a segment's text has been said, before the text that follows it."""
        if self._ends:  # else no frame told what it says
            self._said = self._num_places - num_places(following)

    @property
    def ends_segment(self) -> bool:
        """Whether `take` returns the end of a segment."""
        return self._said > 0

    def take(self) -> SpokenPlaces:
        """What has come since the last call."""
        taken = SpokenPlaces(
            self._segment_start,
            tuple(self._frames),
            tuple(self._words),
            self._written,
            self._said,
        )
        self._frames, self._words, self._written, self._said = [], [], "", 0
        return taken
