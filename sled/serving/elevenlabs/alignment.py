"""When the characters of a text are said, as ElevenLabs' clients read it.

They want every character of the text, those between the words included. A word is told when it has
been said, with the punctuation and the space behind it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sled.serving.utterance import Utterance
from sled.streaming.marks import Mark

# What belongs to the word before it: closing marks, and space.
_BEHIND = re.compile(r"[^\w\s]*\s+")


@dataclass(frozen=True)
class Alignment:
    """When some characters are said.

    Attributes:
        characters: The characters.
        starts_ms: When each begins, in milliseconds of the audio that is sent.
        ends_ms: When each ends.
    """

    characters: list[str]
    starts_ms: list[int]
    ends_ms: list[int]

    def in_milliseconds(self, since_ms: int = 0) -> dict[str, Any]:
        """As in a message of a WebSocket, with times since a time."""
        return {
            "chars": self.characters,
            "charStartTimesMs": [start - since_ms for start in self.starts_ms],
            "charDurationsMs": [
                end - start for start, end in zip(self.starts_ms, self.ends_ms, strict=True)
            ],
        }

    def in_seconds(self) -> dict[str, Any]:
        """As in an answer over HTTP."""
        return {
            "characters": self.characters,
            "character_start_times_seconds": [start / 1000 for start in self.starts_ms],
            "character_end_times_seconds": [end / 1000 for end in self.ends_ms],
        }


def concatenate(parts: Sequence[Alignment]) -> Alignment:
    """Alignments of parts of a text as that of the whole."""
    return Alignment(
        [one for part in parts for one in part.characters],
        [one for part in parts for one in part.starts_ms],
        [one for part in parts for one in part.ends_ms],
    )


class Aligner:
    """Follows what is said of an utterance.

    Args:
        utterance: The utterance.
        speed: Factor by which the audio that is sent is faster.
        ends_with_space: Whether the text ends with a space in any case. Clients that get it in
            pieces wait for a space to know that a word has ended.

    Attributes:
        time_ms: Where the last character ended.
    """

    def __init__(
        self, utterance: Utterance, speed: float = 1.0, *, ends_with_space: bool = False
    ) -> None:
        self._utterance, self._speed = utterance, speed
        self._ends_with_space = ends_with_space
        self._place = 0  # characters that have been told
        self.time_ms = 0

    def take(self, *, ended: bool = False) -> Alignment | None:
        """The characters that were said since the last call.

        Args:
            ended: Whether all audio has been taken, so that the rest of the text comes, too.

        Returns:
            None if no word has ended since, or the model does not tell when words are said.
        """
        if not self._utterance.has_marks:
            return None
        marks = self._utterance.take_marks("character")
        if not marks and not ended:
            return None
        text = _whole_characters(self._utterance.text)
        if ended and self._ends_with_space and not text[-1:].isspace():
            text += " "
        spans: list[tuple[str, int, int]] = []
        for mark in marks:
            self._fill_gap(spans, text, mark)
            spans += _divide(
                text[self._place : mark.end_char], self._time(mark.start_s), self._time(mark.end_s)
            )
            self._place = max(self._place, mark.end_char)
            self.time_ms = max(self.time_ms, self._time(mark.end_s))
        behind = _BEHIND.match(text, self._place)
        end = len(text) if ended else behind.end() if behind else self._place
        spans += _divide(text[self._place : end], self.time_ms, self.time_ms)
        self._place = end
        if not spans:
            return None
        characters, starts, ends = zip(*spans, strict=True)
        return Alignment(list(characters), list(starts), list(ends))

    def _fill_gap(self, spans: list[tuple[str, int, int]], text: str, mark: Mark) -> None:
        """Add the characters before a word, which last from the word before it on."""
        if mark.start_char > self._place:
            gap, start = text[self._place : mark.start_char], self._time(mark.start_s)
            spans += _divide(gap, self.time_ms, max(self.time_ms, start))
            self._place = mark.start_char

    def _time(self, seconds: float) -> int:
        """A time in the audio that is sent, not before that of the last character."""
        return max(self.time_ms, round(1000 * seconds / self._speed))


def _divide(text: str, start: int, end: int) -> list[tuple[str, int, int]]:
    """The characters of a text, with equal parts of a time."""
    edges = [start + (end - start) * at // max(1, len(text)) for at in range(len(text) + 1)]
    return list(zip(text, edges[:-1], edges[1:], strict=True))


def _whole_characters(text: str) -> str:
    """A text whose surrogate pairs are characters, as marks count them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
