"""The level of speech, and the silence around it: measured, and given to a recording.

Models are trained on speech of one level with fixed margins of silence, or nearly so. A recording
that they are to continue, or to learn from, is brought to the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WINDOW_S = 0.01
# Speech begins and ends at this level, relative to the loudest window; with noise in the background
# twice above the noise, but not above the second level, at which speech would be lost.
SPEECH_THRESHOLD_DB, NOISY_THRESHOLD_DB = -40.0, -30.0
# Share of the windows that are noise alone, in nearly every recording.
NOISE_SHARE = 0.05


@dataclass(frozen=True)
class SpeechLevel:
    """How loud speech is, and how much silence is around it.

    Attributes:
        level_db: Root mean square of the speech, pauses within it included and silence around it
            not, in dB of full scale.
        lead_s: Silence before it, in seconds.
        tail_s: Silence after it, in seconds.
    """

    level_db: float
    lead_s: float
    tail_s: float

    @property
    def rms(self) -> float:
        """`level_db` as an amplitude."""
        return float(10 ** (self.level_db / 20))


def find_speech(waveform: np.ndarray, sample_rate: int) -> tuple[int, int] | None:
    """The samples at which speech begins and ends in a waveform [S]; None if all is silent."""
    window = round(WINDOW_S * sample_rate)
    windows = waveform[: len(waveform) // window * window].reshape(-1, window)
    levels = np.sqrt(np.mean(windows**2, axis=1))
    if len(levels) == 0 or levels.max() <= 0:
        return None
    lowest, highest = (
        10 ** (level_db / 20) * levels.max()
        for level_db in (SPEECH_THRESHOLD_DB, NOISY_THRESHOLD_DB)
    )
    threshold = np.clip(2 * np.quantile(levels, NOISE_SHARE), lowest, highest)
    loud = np.flatnonzero(levels > threshold)
    return int(loud[0]) * window, (int(loud[-1]) + 1) * window


def measure_speech(waveform: np.ndarray, sample_rate: int) -> SpeechLevel | None:
    """The level of a waveform [S] and its silence; None if all is silent."""
    speech = find_speech(waveform, sample_rate)
    if speech is None:
        return None
    start, end = speech
    rms = np.sqrt(np.mean(waveform[start:end] ** 2))
    level_db = 20 * float(np.log10(rms))
    return SpeechLevel(level_db, start / sample_rate, (len(waveform) - end) / sample_rate)


def with_level(waveform: np.ndarray, sample_rate: int, level: SpeechLevel) -> np.ndarray:
    """Give a waveform this level, and this much silence around its speech.

    The silence is that of the recording, as far as it has some.

    Args:
        waveform: [S].
        sample_rate: In Hz.
        level: Level and silence.

    Returns:
        [S'] float32.

    Raises:
        ValueError: If all of it is silent.
    """
    speech = find_speech(waveform, sample_rate)
    if speech is None:
        raise ValueError("there is no speech in it")
    start, end = speech
    gain = level.rms / np.sqrt(np.mean(waveform[start:end] ** 2))
    first = start - round(level.lead_s * sample_rate)
    last = end + round(level.tail_s * sample_rate)
    padding = (max(0, -first), max(0, last - len(waveform)))
    return np.pad(waveform[max(0, first) : last] * gain, padding).astype(np.float32)


def without_offset(waveform: np.ndarray) -> np.ndarray:
    """A waveform [S] without the constant that cheap microphones add."""
    centred: np.ndarray = (waveform - waveform.mean(dtype=np.float64)).astype(np.float32)
    return centred
