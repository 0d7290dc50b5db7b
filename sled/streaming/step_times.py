"""How long steps take for a number of utterances, and a prediction for one more."""

from __future__ import annotations

# The weight of the newest duration, and the factor by which an outlier (a prompt was read, or the
# machine was busy) may raise an average.
NEWEST_WEIGHT, MAX_RISE = 0.1, 2.0


class Average:
    """A running average of durations in seconds; 0 before the first one."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Include a duration."""
        if self.seconds:
            seconds = min(seconds, MAX_RISE * self.seconds)
            self.seconds += NEWEST_WEIGHT * (seconds - self.seconds)
        else:
            self.seconds = seconds


class StepTimes:
    """Average durations of steps by the number of utterances in them.

    One thread adds; other threads may predict at the same time.
    """

    def __init__(self) -> None:
        self._averages: dict[int, Average] = {}

    def add(self, count: int, seconds: float) -> None:
        """Include the duration of a step of `count` utterances."""
        self._averages.setdefault(count, Average()).add(seconds)

    def predict(self, count: int) -> float:
        """The seconds that a step of `count` utterances is expected to take; 0 if nothing is known.

        Between two known counts the duration is interpolated. Beyond the largest one it grows as
        between the two largest, but at least by half of what it takes for each utterance there:
        a step that is limited by reading the weights takes longer later. With a single known count
        it is proportional.
        """
        known = sorted((one, average.seconds) for one, average in list(self._averages.items()))
        if not known:
            return 0.0
        below = [(one, seconds) for one, seconds in known if one <= count]
        above = [(one, seconds) for one, seconds in known if one >= count]
        if not below:
            return above[0][1]
        (low, low_s) = below[-1]
        if above:
            (high, high_s) = above[0]
            share = (count - low) / (high - low) if high > low else 0.0
            return low_s + share * (high_s - low_s)
        slope = low_s / low
        if len(below) > 1:
            before, before_s = below[-2]
            slope = max(slope / 2, (low_s - before_s) / (low - before))
        return low_s + slope * (count - low)
