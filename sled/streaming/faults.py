"""Signs that a run went wrong: it fell silent, or went on without end.

Frames are drawn at random, so now and then a run leaves the text. Whoever runs it can then draw
again. That speech is neither far too short nor far too long for its text is seen to while it is
being decoded, see `DecodingOptions.length_tolerance`.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from sled.streaming.loudness import SilenceMeter


class Fault(Enum):
    """What went wrong."""

    SILENCE = "fell silent for too long"
    ENDLESS = "did not end by itself"


def find_fault(
    audio: np.ndarray, sample_rate: int, stopped: bool, max_silence_s: float = 2.0
) -> Fault | None:
    """What is wrong with speech, if anything is.

    Args:
        audio: [S] float32.
        sample_rate: In Hz.
        stopped: Whether the model ended it by itself.
        max_silence_s: Longest near-silence that there may be within or around it.
    """
    if not stopped:
        return Fault.ENDLESS
    meter = SilenceMeter(sample_rate)
    meter.feed(audio)
    meter.finish()
    return Fault.SILENCE if meter.longest_silence > max_silence_s * sample_rate else None
