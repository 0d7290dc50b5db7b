"""The loudness of speech that is made, and near-silence in a growing waveform."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # what speaks without PyTorch amplifies, too
    from sled.model.config import Speaking

WINDOW_S = 0.01
# Level in dB of full scale below which a window is always nearly silent. Without it, the noise of a
# codec in a waveform without speech would count as speech.
FLOOR_DB = -60.0
# Root mean square of speech that is usual for programs and voices, in dB of full scale.
USUAL_LOUDNESS_DB = -20.0
# What amplified samples exceed of this is compressed, so that none is above full scale.
KNEE = 0.8


def output_gain_db(speaking: Speaking) -> float:
    """What the speech of a model is amplified by, in dB; 0 if nothing was measured."""
    if speaking.output_gain_db is not None:
        return speaking.output_gain_db
    if speaking.speech_level_db is None:
        return 0.0
    return USUAL_LOUDNESS_DB - speaking.speech_level_db


def amplify(audio: np.ndarray, gain_db: float) -> np.ndarray:
    """Amplify samples [S] by a constant gain; peaks are compressed, not clipped.

    Each sample is treated by itself, so pieces of a waveform give the pieces of the whole.
    """
    if gain_db == 0:
        return audio
    louder: np.ndarray = audio * np.float32(10 ** (gain_db / 20))
    size = np.abs(louder)
    peaks = size > KNEE
    if peaks.any():
        room = np.float32(1 - KNEE)
        above = (size[peaks] - np.float32(KNEE)) / room
        louder[peaks] = np.sign(louder[peaks]) * (np.float32(KNEE) + room * np.tanh(above))
    return louder


class SilenceMeter:
    """Measures near-silence in a waveform that comes in pieces of any size.

    A window of 10 ms is nearly silent if its root mean square is below `threshold_db` relative to
    the loudest window so far, or below `FLOOR_DB`. The threshold is relative because voices differ
    in loudness, and the noise of a codec follows the voice. It uses only the audio so far, so no
    later audio is needed.

    Args:
        sample_rate: In Hz.
        threshold_db: Level of near-silence, below 0. Speech goes down to about -35 dB; noise is
            around -60 dB.
        gain_db: What the waveform has been amplified by.

    Attributes:
        num_samples: Number of samples measured so far: whole windows until `finish`.
        speech_end: Number of samples up to the end of the last window that was not nearly silent;
            0 if there was none.
        longest_silence: Number of samples of the longest run of near-silence.
    """

    def __init__(self, sample_rate: int, threshold_db: float = -40.0, gain_db: float = 0.0) -> None:
        if not threshold_db < 0:
            raise ValueError(f"threshold_db={threshold_db}: near-silence is below 0, such as -40")
        self.num_samples = 0
        self.speech_end = 0
        self.longest_silence = 0
        self._window = max(1, round(WINDOW_S * sample_rate))
        self._share = 10 ** (threshold_db / 20)
        self._threshold = 10 ** ((FLOOR_DB + gain_db) / 20)
        self._rest = np.zeros(0, dtype=np.float32)  # of an incomplete window

    def feed(self, samples: np.ndarray) -> list[bool]:
        """Measure the next samples [S], any number of them.

        Returns:
            For each window that is complete with them, whether it is nearly silent.
        """
        samples = np.concatenate((self._rest, samples))
        whole = len(samples) // self._window * self._window
        self._rest = samples[whole:].copy()
        return self._measure(samples[:whole].reshape(-1, self._window))

    def finish(self) -> None:
        """Measure the samples of the last, incomplete window."""
        if len(self._rest):
            self._measure(self._rest[None])
            self._rest = self._rest[:0]

    def _measure(self, windows: np.ndarray) -> list[bool]:
        """Measure windows [N, W]; returns which are nearly silent."""
        silent = []
        levels = np.sqrt(np.square(windows, dtype=np.float64).mean(axis=1))
        for level in levels.tolist():
            self.num_samples += windows.shape[1]
            self._threshold = max(self._threshold, self._share * level)
            silent.append(level < self._threshold)
            if not silent[-1]:
                self.speech_end = self.num_samples
            silence = self.num_samples - self.speech_end
            self.longest_silence = max(self.longest_silence, silence)
        return silent
