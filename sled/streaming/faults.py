"""Signs that a run went wrong: silence, babble without end, or an end before the text's.

Frames are drawn at random, so now and then a run leaves the text: it falls silent, repeats itself
or stops too early. Whoever runs it can then draw again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """What went wrong."""

    SILENCE = "fell silent for too long"
    OVERLONG = "went on far longer than its text takes"
    EARLY_STOP = "stopped long before its text can have been said"


@dataclass(frozen=True, kw_only=True)
class FaultLimits:
    """What a run may do.

    Frames per token are those of the training data, see `sled.data.lengths`, for a text with its
    `<s>` and `</s>`. Texts differ from them, so a run is wrong only if it is beyond them by far.

    Attributes:
        min_frames_per_token: As few as a text takes. None: any number.
        max_frames_per_token: As many as it takes. None: any number.
        tolerance: By what factor a run may be shorter or longer than that.
        max_silence_s: Longest silence within or after the speech.
    """

    min_frames_per_token: float | None = None
    max_frames_per_token: float | None = None
    tolerance: float = 1.5
    max_silence_s: float = 2.0

    def __post_init__(self) -> None:
        if not self.tolerance >= 1:
            raise ValueError(f"tolerance={self.tolerance}: the factor must be at least 1")
        if not self.max_silence_s > 0:
            raise ValueError(f"max_silence_s={self.max_silence_s}: allow more than 0 s")

    def fault(
        self, *, num_tokens: int, num_frames: int, silence_s: float, stopped: bool
    ) -> Fault | None:
        """What is wrong with a run so far.

        Args:
            num_tokens: Tokens it has read, without those of a voice's prompt.
            num_frames: Frames it has written, likewise.
            silence_s: The longest silence in them, as `SilenceMeter` finds it.
            stopped: Whether it has ended by itself.

        Returns:
            None if nothing is.
        """
        if silence_s > self.max_silence_s:
            return Fault.SILENCE
        longest, shortest = self.max_frames_per_token, self.min_frames_per_token
        if longest is not None and num_frames > num_tokens * longest * self.tolerance:
            return Fault.OVERLONG
        if stopped and shortest is not None and num_frames < num_tokens * shortest / self.tolerance:
            return Fault.EARLY_STOP
        return None
