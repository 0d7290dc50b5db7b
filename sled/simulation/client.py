"""A client of a session: text from one thread, audio in another, and a note of what came when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from sled.simulation.player import Playback, play
from sled.streaming.session import Session

Outlet = Callable[[np.ndarray], None]
"""Takes a piece of audio [S] float32 as it is made."""


@dataclass
class Timeline:
    """What happened when, in seconds after `converse` began.

    Attributes:
        first_text_s: The first text was fed.
        last_text_s: The text was complete.
        chunks: Arrival and number of samples of each piece of audio.
    """

    first_text_s: float = 0.0
    last_text_s: float = 0.0
    chunks: list[tuple[float, int]] = field(default_factory=list)

    @property
    def num_samples(self) -> int:
        """Of all audio."""
        return sum(samples for _, samples in self.chunks)

    def playback(self, sample_rate: int) -> Playback:
        """How a player fares that starts with the first audio."""
        return play(self.chunks, sample_rate)


def converse(session: Session, pieces: Iterator[str], outlets: Sequence[Outlet] = ()) -> Timeline:
    """Feed a session from one thread, and take its audio in this one.

    Args:
        session: A new one.
        pieces: Of the text, released at the speed of writing.
        outlets: Where audio goes, piece by piece, as it is made.

    Returns:
        What happened when.

    Raises:
        Whatever goes wrong with the text or the speech.
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
        except BaseException as error:  # told to the reader, who would wait for ever
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
