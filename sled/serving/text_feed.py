"""The text of an utterance, which a client may send before the utterance has its turn."""

from __future__ import annotations

import time

from sled.serving.errors import ApiError
from sled.serving.utterance import Utterance


class TextFeed:
    """Text on its way into an utterance.

    Args:
        max_chars: The longest text.

    Attributes:
        num_chars: Characters so far.
        has_words: Whether there is anything but space.
        complete: Whether no more comes.
        ended: Whether the utterance is over; more text is dropped.
        came_s: When text came last, by `time.monotonic`.
    """

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars
        self._early: list[str | None] = []  # pieces before the utterance is open; None: an end
        self._utterance: Utterance | None = None
        self.num_chars, self.has_words, self.complete, self.ended = 0, False, False, False
        self.came_s = time.monotonic()

    def feed(self, text: str) -> None:
        """Take more text.

        Raises:
            ApiError: `text_too_long`.
        """
        self.came_s = time.monotonic()
        if self.num_chars + len(text) > self._max_chars:
            raise ApiError(
                "text_too_long",
                f"the text has more than {self._max_chars} characters: divide it",
                "text",
            )
        self.num_chars += len(text)
        self.has_words = self.has_words or bool(text.strip())
        self._pass(text)

    def end_segment(self) -> None:
        """Have the text so far said, without waiting for more."""
        self.came_s = time.monotonic()
        self._pass(None)

    def finish(self) -> None:
        """Note that the text is complete."""
        self.complete = True
        if self._utterance is not None and not self.ended:
            self._utterance.flush()

    def attach(self, utterance: Utterance) -> None:
        """Pass the text on to an utterance, from now on at once."""
        self._utterance = utterance
        for piece in self._early:
            self._deliver(utterance, piece)
        self._early = []
        if self.complete:
            utterance.flush()

    def detach(self) -> None:
        """Drop all text from now on: the utterance has ended."""
        self.ended, self._early = True, []

    def _pass(self, piece: str | None) -> None:
        if self.ended or self.complete:
            return
        if self._utterance is None:
            self._early.append(piece)
        else:
            self._deliver(self._utterance, piece)

    @staticmethod
    def _deliver(utterance: Utterance, piece: str | None) -> None:
        if piece is None:
            utterance.end_segment()
        else:
            utterance.feed(piece)
