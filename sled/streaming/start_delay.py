"""How long to delay the first sound if text comes more slowly than it is spoken.

Slow text would stall playback. In chunks of n tokens and m frames, speech uses n / m tokens per
frame. If tokens come more slowly than that, each chunk is later than the one before by the same
time, and a player that starts with the first sound falls silent between them. With needed and
written tokens per second, speech of H seconds takes H (needed / written - 1) longer to write than
to hear. Delaying the first sound by that deficit plays H seconds without a gap. Text that is
already there causes no deficit.
"""

from __future__ import annotations

# Speech that should play without a gap.
HORIZON_S = 4.0
# Words differ in length, so the next ones may come more slowly than the first ones by this factor.
SLOWER = 0.85


class StartDelay:
    """Measures the speed of text, up to the first sound.

    Args:
        needed: Tokens per second that speech uses.
        max_delay_s: The longest delay. 0: no delay.
    """

    def __init__(self, needed: float, max_delay_s: float) -> None:
        self._needed, self._max_delay_s = needed, max_delay_s
        self._first_s: float | None = None
        self._last_s = 0.0
        self._num_tokens = 0

    def count(self, num_tokens: int, at_s: float) -> None:
        """Count tokens that became complete with text that came at a time in seconds."""
        if not num_tokens:
            return
        self._last_s = at_s
        if self._first_s is None:  # how long these took is not known
            self._first_s = at_s
        else:
            self._num_tokens += num_tokens

    def seconds(self, num_waiting: int) -> float:
        """How long to delay the first sound, unless the text is complete before.

        Args:
            num_waiting: Tokens that are there but not due yet.
        """
        if self._first_s is None or not self._num_tokens:
            return 0.0
        seconds_per_token = (self._last_s - self._first_s) / self._num_tokens
        missing = max(self._needed * HORIZON_S - num_waiting, 0)
        delay_s = missing * seconds_per_token / SLOWER - HORIZON_S
        return min(max(delay_s, 0.0), self._max_delay_s)
