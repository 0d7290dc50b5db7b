"""When the first sound goes out, so that a slow writer is not heard to search for words.

In chunks of n tokens and m frames, speech uses n / m tokens a frame. Of text that is written more
slowly every chunk is later than the one before by the same time, and a player that began with the
first sound falls silent between them. With needed and written tokens a second, speech of H seconds
takes H (needed / written - 1) longer to be written than to be heard: who waits that long before the
first sound hears so much of it without a gap. Of text that is there already nothing is missing.
"""

from __future__ import annotations

# Speech that shall be heard without a gap.
HORIZON_S = 4.0
# Words are not equally long: the next ones may come so much more slowly than the first.
SLOWER = 0.85


class StartDelay:
    """Watches how fast text comes, up to the first sound.

    Args:
        needed: Tokens of text a second that speech uses while it lasts.
        max_delay_s: No delay is longer. 0: there is none.
    """

    def __init__(self, needed: float, max_delay_s: float) -> None:
        self._needed, self._max_delay_s = needed, max_delay_s
        self._first_s: float | None = None
        self._last_s = 0.0
        self._num_tokens = 0

    def count(self, num_tokens: int, at_s: float) -> None:
        """So many more tokens are complete, with a piece of text that came at a time in seconds."""
        if not num_tokens:
            return
        self._last_s = at_s
        if self._first_s is None:  # nobody knows how long these took
            self._first_s = at_s
        else:
            self._num_tokens += num_tokens

    def seconds(self, num_waiting: int) -> float:
        """How long to keep the first sound, if the text is not complete before.

        Args:
            num_waiting: Tokens that are there and not due yet: these need not be waited for.
        """
        if self._first_s is None or not self._num_tokens:
            return 0.0
        seconds_per_token = (self._last_s - self._first_s) / self._num_tokens
        missing = max(self._needed * HORIZON_S - num_waiting, 0)
        delay_s = missing * seconds_per_token / SLOWER - HORIZON_S
        return min(max(delay_s, 0.0), self._max_delay_s)
