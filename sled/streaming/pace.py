"""How fast the threads of an engine recently were, and what one more session would take."""

from __future__ import annotations

from sled.streaming.codec_thread import CodecCall

# A session that is short of audio gets it in parts of so many frames.
LEAST_FRAMES = 2

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


class Pace:
    """What the decoding thread and the codec thread recently took.

    Each of the two threads adds its own; other threads may read at the same time.

    Args:
        frame_rate: Frames of speech in a second.
    """

    def __init__(self, frame_rate: float) -> None:
        self._frame_rate = frame_rate
        self._steps = StepTimes()
        # Of the codec: for a frame of a call, for one of each session in it, and until it is done.
        self._codec, self._codec_share, self._codec_delay = Average(), TimePerFrame(), Average()

    def add_step(self, count: int, seconds: float) -> None:
        """Include a turn of the decoding thread with a step of `count` utterances."""
        self._steps.add(count, seconds)

    def add_codec_call(self, call: CodecCall) -> None:
        """Include a call of the codec."""
        self._codec.add(call.seconds / call.num_frames)
        self._codec_share.add(call.seconds, call.num_sessions * call.num_frames)
        self._codec_delay.add(call.delay_s)

    @property
    def real_time_factor(self) -> float:
        """Recent time to generate a frame divided by its duration; 0 before the first frame."""
        return (self._steps.seconds + self._codec.seconds) * self._frame_rate

    @property
    def delay_s(self) -> float:
        """How long it recently took from one piece of a session's audio to the next, in seconds.

        The listener of a session that begins with less audio than this would have to wait.
        """
        return LEAST_FRAMES * self._steps.seconds + self._codec_delay.seconds

    def predict_load(self, num_sessions: int) -> float:
        """Time to generate a frame of each of so many sessions, divided by the frame's duration.

        From what turns of the decoding thread took so far, with all that it does beside the steps;
        0 before the first one. Above 1 speech is made more slowly than it is played. Model and
        codec work at the same time, so the slower one decides.
        """
        step = self._steps.predict(num_sessions)
        return max(step, self._codec_share.seconds * num_sessions) * self._frame_rate
