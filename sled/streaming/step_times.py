"""How long steps take for a number of utterances, and a prediction for one more."""

from __future__ import annotations

# The weight of the newest duration, and the factor by which an outlier (a prompt was read, or the
# machine was busy) may raise an average.
NEWEST_WEIGHT, MAX_RISE = 0.1, 2.0
# The weight of the newest step in what one more utterance costs.
SLOPE_WEIGHT = 0.01


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


class TimePerFrame:
    """Seconds for a frame of one session, when several may be worked on together."""

    def __init__(self) -> None:
        self._seconds = self._frames = 0.0

    @property
    def seconds(self) -> float:
        """Recent seconds divided by recent frames; 0 before the first ones."""
        return self._seconds / self._frames if self._frames else 0.0

    def add(self, seconds: float, num_frames: int) -> None:
        """Include work on so many frames, those of all sessions counted."""
        self._seconds += seconds - NEWEST_WEIGHT * self._seconds
        self._frames += num_frames - NEWEST_WEIGHT * self._frames


class StepTimes:
    """How long steps take for a number of utterances: a line through recent steps.

    Its height follows the last steps, as other work may slow all of them down. Its slope needs
    steps of different sizes, and is learned more slowly.

    One thread adds; other threads may predict at the same time.
    """

    def __init__(self) -> None:
        self._recent: tuple[float, float] | None = None  # count, seconds: averages
        self._mean = (0.0, 0.0)  # the same, over a longer time
        self._spread = (0.0, 0.0)  # variance of the count, covariance of count and seconds

    def add(self, count: int, seconds: float) -> None:
        """Include the duration of a step of `count` utterances."""
        if self._recent is None:
            self._recent = self._mean = (float(count), seconds)
            return
        seconds = min(seconds, MAX_RISE * self.predict(count))
        (many, long), (usual, usual_s), weight = self._recent, self._mean, SLOPE_WEIGHT
        self._recent = (
            many + NEWEST_WEIGHT * (count - many),
            long + NEWEST_WEIGHT * (seconds - long),
        )
        more, longer = count - usual, seconds - usual_s
        self._mean = usual + weight * more, usual_s + weight * longer
        variance, covariance = self._spread
        self._spread = (
            (1 - weight) * (variance + weight * more * more),
            (1 - weight) * (covariance + weight * more * longer),
        )

    @property
    def seconds(self) -> float:
        """Recent average duration of a step; 0 before the first one."""
        return 0.0 if self._recent is None else self._recent[1]

    def predict(self, count: int) -> float:
        """The seconds that a step of `count` utterances is expected to take; 0 if nothing is known.

        One more utterance takes at most as long as each of the recent ones did in the mean, and at
        least half as long: a step that is limited by reading the weights takes longer later.
        """
        if self._recent is None:
            return 0.0
        many, seconds = self._recent
        variance, covariance = self._spread
        share = seconds / many
        slope = covariance / variance if variance else share
        return seconds + min(max(slope, share / 2), share) * (count - many)
