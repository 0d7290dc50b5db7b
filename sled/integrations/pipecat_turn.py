"""One utterance of a Pipecat pipeline, from its text to the end of its playing."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from sled.integrations.wire import SpokenText

BYTES_PER_SAMPLE = 2


@dataclass(eq=False)
class Turn:
    """One audio context: an utterance of the server.

    Attributes:
        context_id: Its id.
        interruptible: Whether an interruption ends it.
        waiting: Text that has not been sent, as the utterance before it is being said.
        complete: Whether its text is complete.
        sent: Whether any of its text has been sent.
        finished: Whether the server knows that its text is complete.
        cancelled: Whether it has been interrupted.
        spoken: Its text.
        came_s: Seconds of audio that came.
        ends_s: When they will have been played, by `time.monotonic`.
        played_s: How many of them had been played when it was interrupted.
    """

    context_id: str
    interruptible: bool = True
    waiting: deque[str] = field(default_factory=deque)
    complete: bool = False
    sent: bool = False
    finished: bool = False
    cancelled: bool = False
    spoken: SpokenText = field(default_factory=SpokenText)
    came_s: float = 0.0
    ends_s: float = 0.0
    played_s: float = 0.0

    def add_audio(self, num_bytes: int, sample_rate: int, behind_s: float) -> None:
        """Note audio that came.

        Args:
            num_bytes: Its size.
            sample_rate: In Hz.
            behind_s: When the audio before it will have been played, by `time.monotonic`.
        """
        seconds = num_bytes / BYTES_PER_SAMPLE / sample_rate
        self.came_s += seconds
        self.ends_s = max(time.monotonic(), behind_s) + seconds

    def is_being_played(self) -> bool:
        """Whether there is audio that has not been played."""
        return self.ends_s > time.monotonic()

    def cancel(self) -> None:
        """Note an interruption, and how much has been played."""
        self.cancelled = True
        self.played_s = max(0.0, self.came_s - max(0.0, self.ends_s - time.monotonic()))
