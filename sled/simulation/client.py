"""A client that feeds a session from one thread, reads it in another and records the times."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from sled.simulation.player import Playback, play
from sled.streaming.session import Session

Outlet = Callable[[np.ndarray], None]
"""Receives audio [S] float32, piece by piece."""


@dataclass
class Timeline:
    """The times of a conversation, in seconds after `converse` began.

    Attributes:
        first_text_s: Time of the first text.
        last_text_s: Time when the text was complete.
        chunks: Arrival time and number of samples of each chunk of audio.
    """

    first_text_s: float = 0.0
    last_text_s: float = 0.0
    chunks: list[tuple[float, int]] = field(default_factory=list)

    @property
    def num_samples(self) -> int:
        """Number of samples of all audio."""
        return sum(samples for _, samples in self.chunks)

    def playback(self, sample_rate: int) -> Playback:
        """Simulate a player that starts with the first audio."""
        return play(self.chunks, sample_rate)


def converse(session: Session, pieces: Iterator[str], outlets: Sequence[Outlet] = ()) -> Timeline:
    """Feed a session from a second thread and read its audio in this one.

    Args:
        session: A new session.
        pieces: Pieces of the text, released at typing speed.
        outlets: Functions that receive each chunk of audio.

    Returns:
        The times of text and audio.

    Raises:
        BaseException: An error of the text source or of the session.
    """
    timeline, start = Timeline(), time.perf_counter()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for piece in pieces:
                if not timeline.first_text_s:
                    timeline.first_text_s = time.perf_counter() - start
                session.feed(piece)
            session.flush()
            timeline.last_text_s = time.perf_counter() - start
        except BaseException as error:  # raised in the reading thread
            failures.append(error)
            session.cancel()

    writer = threading.Thread(target=write, name="writer", daemon=True)
    writer.start()
    for chunk in session.chunks():
        if len(chunk.audio):
            timeline.chunks.append((chunk.ready_at_s - start, len(chunk.audio)))
            for outlet in outlets:
                outlet(chunk.audio)
    writer.join()
    if failures:
        raise failures[0]
    return timeline
