"""Detects failed speech: a long silence, or no end.

Frames are random, so a run sometimes departs from the text. The caller can then generate it again.
Speech that is far too short or too long for its text is prevented during decoding, see
`DecodingOptions.length_tolerance`.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from sled.streaming.loudness import SilenceMeter


class Fault(Enum):
    """The kind of failure."""

    SILENCE = "fell silent for too long"
    ENDLESS = "did not end by itself"


def find_fault(
    audio: np.ndarray,
    sample_rate: int,
    stopped: bool,
    max_silence_s: float = 2.0,
    gain_db: float = 0.0,
) -> Fault | None:
    """Return the fault of speech, or None.

    Args:
        audio: [S] float32.
        sample_rate: In Hz.
        stopped: Whether the model ended the speech by itself.
        max_silence_s: Longest near-silence allowed within the speech or around it.
        gain_db: What the audio has been amplified by.
    """
    if not stopped:
        return Fault.ENDLESS
    meter = SilenceMeter(sample_rate, gain_db=gain_db)
    meter.feed(audio)
    meter.finish()
    return Fault.SILENCE if meter.longest_silence > max_silence_s * sample_rate else None
