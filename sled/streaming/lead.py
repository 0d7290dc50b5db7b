"""Which sessions rest while others are short of audio.

Every session of an engine costs time in every step. A session whose audio is far ahead of its
listener, or to which nobody listens, need not be in each of them. So while a listener is about to
wait, such sessions rest.

The **lead** of a session is the audio that has been made and not been played, in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

# A session with less lead is short of audio; until one that was short has this much, others rest.
SHORT_S, ENOUGH_S = 0.5, 1.0
# A session rests at most so long before it takes part again, until the next decision.
MAX_REST_S = 1.0
# Leads hardly change within this time, and with many sessions, looking at them takes time.
DECIDE_EVERY_S = 0.05


class ListenerClock:
    """How much of a session's audio a listener has played who plays without a break if he can.

    He begins with the first audio that is taken, and plays no audio that has not been taken.

    Args:
        sample_rate: Samples that he plays in a second.
    """

    def __init__(self, sample_rate: float) -> None:
        self._sample_rate = sample_rate
        self._taken_s = self._played_s = self._at_s = 0.0

    @property
    def has_begun(self) -> bool:
        """Whether any audio has been taken."""
        return self._taken_s > 0

    def take(self, num_samples: int, now_s: float) -> None:
        """Note that so many samples are taken at a time."""
        self._played_s = self.played_s(now_s)
        self._taken_s += num_samples / self._sample_rate
        self._at_s = now_s

    def unplayed_s(self, now_s: float) -> float:
        """Seconds that have been taken and not been played at a time."""
        return self._taken_s - self.played_s(now_s)

    def played_s(self, now_s: float) -> float:
        """Seconds that have been played at a time."""
        return min(self._taken_s, self._played_s + max(0.0, now_s - self._at_s))


class LeadPolicy(Generic[T]):
    """Decides which sessions rest."""

    def __init__(self) -> None:
        self._is_short = False
        self._resting_since: dict[T, float] = {}
        self._decided_s = -math.inf

    @property
    def anybody_rests(self) -> bool:
        """Whether some rest, by the last decision."""
        return bool(self._resting_since)

    def is_due(self, now_s: float) -> bool:
        """Whether it is time for a decision."""
        return now_s - self._decided_s >= DECIDE_EVERY_S

    def decide(self, leads: Mapping[T, float], now_s: float) -> set[T]:
        """Decide who rests until the next decision.

        Args:
            leads: The lead in seconds of each session that could be in the next step; infinite if
                it is further ahead than it needs to be, or nobody listens.
            now_s: The time in seconds, by any clock.
        """
        self._decided_s = now_s
        lowest = min((lead for lead in leads.values() if lead < math.inf), default=math.inf)
        self._is_short = lowest < (ENOUGH_S if self._is_short else SHORT_S)
        since = self._resting_since
        self._resting_since = {}
        resting: set[T] = set()
        if self._is_short:
            for one, lead in leads.items():
                if lead < math.inf:
                    continue
                began_s = since.get(one, now_s)
                if now_s - began_s < MAX_REST_S:
                    resting.add(one)
                    self._resting_since[one] = began_s
        return resting
