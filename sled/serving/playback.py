"""How far audio is ahead of a player that plays it from its first piece on."""

from __future__ import annotations

import time


class Playback:
    """A player that is only computed: it plays what is sent as soon as it is sent.

    Attributes:
        least_lead_s: The least audio that it had left when a piece came, in seconds; negative if it
            had run dry. None before the second piece.
        underrun_s: How long it had nothing to play, in seconds.
    """

    def __init__(self) -> None:
        self._ends_s: float | None = None  # when it will have played all
        self.least_lead_s: float | None = None
        self.underrun_s = 0.0

    @property
    def has_begun(self) -> bool:
        """Whether a piece has come."""
        return self._ends_s is not None

    def add(self, seconds: float, asked_s: float) -> None:
        """Take a piece of audio.

        Args:
            seconds: Its duration.
            asked_s: When it was asked for, by `time.perf_counter`. If the player had run dry before
                that, whoever takes the audio is slow.
        """
        now = time.perf_counter()
        if self._ends_s is None:
            self._ends_s = now + seconds
            return
        if asked_s <= self._ends_s:
            lead_s = self._ends_s - now
            least_s = self.least_lead_s
            self.least_lead_s = lead_s if least_s is None else min(lead_s, least_s)
            self.underrun_s += max(0.0, -lead_s)
        self._ends_s = max(self._ends_s, now) + seconds
