"""Pace, pauses and silence, and speech that ends too early or too late."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from sled.evaluation.judges.base import Heard, Judge

WINDOW_S = 0.02
# Quieter than the loud parts of the utterance by this much is silence.
SILENCE_DB = -35.0
LOUD_QUANTILE = 0.95
# A silence between words that listeners hear as a pause.
PAUSE_S = 0.25
# Speech shorter than this share of the recording cannot contain all of its words.
EARLY_RATIO = 0.5
# Much longer than the recording, or with a long silence at its end, it did not stop in time.
LATE_RATIO, LATE_TAIL_S = 2.0, 1.0


class TimingJudge(Judge):
    """Measures durations."""

    name = "timing"
    version = "1"

    @override
    def judge(self, heard: Sequence[Heard]) -> list[dict[str, Any]]:
        return [self._judge(one) for one in heard]

    def _judge(self, heard: Heard) -> dict[str, Any]:
        seconds = len(heard.audio) / heard.sample_rate
        lead_s, tail_s, pauses = silences(heard.audio, heard.sample_rate)
        spoken_s = seconds - lead_s - tail_s
        words = len(heard.item.text.split())
        ratio = None
        recording = heard.item.recording
        if recording is not None and recording.duration_s:
            expected_s = recording.duration_s
            if heard.item.continues and heard.item.prompt is not None:
                expected_s -= heard.item.prompt.duration_s or 0.0
            ratio = seconds / expected_s if expected_s > 0 else None
        early = seconds == 0 or (ratio is not None and ratio < EARLY_RATIO)
        late = not heard.stopped or tail_s > LATE_TAIL_S
        return {
            "seconds": round(seconds, 3),
            "words_per_s": round(words / spoken_s, 3) if spoken_s > 0 else None,
            "pauses": len(pauses),
            "pause_s": round(float(sum(pauses)), 3),
            "lead_s": round(lead_s, 3),
            "tail_s": round(tail_s, 3),
            "duration_ratio": None if ratio is None else round(ratio, 4),
            "early": early,
            "late": late or (ratio is not None and ratio > LATE_RATIO),
        }


def silences(audio: np.ndarray, sample_rate: int) -> tuple[float, float, list[float]]:
    """Return the silence before and after speech, and the pauses within it, in seconds.

    Args:
        audio: [S] waveform. If it is silent, all of it counts as silence before.
        sample_rate: In Hz.
    """
    window = round(WINDOW_S * sample_rate)
    count = len(audio) // window
    levels = np.sqrt(np.square(audio[: count * window].reshape(count, window)).mean(1))
    loud = float(np.quantile(levels, LOUD_QUANTILE)) if count else 0.0
    voiced = np.flatnonzero(levels > loud * 10 ** (SILENCE_DB / 20))
    if not loud or not len(voiced):
        return len(audio) / sample_rate, 0.0, []
    lead_s = float(voiced[0] * WINDOW_S)
    tail_s = len(audio) / sample_rate - float((voiced[-1] + 1) * WINDOW_S)
    gaps = (np.diff(voiced) - 1) * WINDOW_S
    return lead_s, max(0.0, tail_s), [float(gap) for gap in gaps if gap >= PAUSE_S - 1e-9]
