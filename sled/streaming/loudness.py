"""Where speech ends in a waveform that grows, and how long it falls silent."""

from __future__ import annotations

import numpy as np

WINDOW_S = 0.01
# What no voice is as quiet as, in dB below full scale: without it, a waveform that holds nothing
# but a codec's noise would be as loud as its loudest window.
FLOOR_DB = -60.0


class SilenceMeter:
    """Measures near-silence in a waveform that comes in pieces; how it was cut does not matter.

    A window of 10 ms is nearly silent if its root mean square lies more than so many dB below that
    of the loudest window so far, or below `FLOOR_DB`. Relative to the speech itself, because that
    fits quiet voices and loud ones alike, and the noise of a codec, which follows the voice; to the
    speech so far, because then no later audio is needed.

    Args:
        sample_rate: In Hz.
        threshold_db: Level of near-silence, below 0. Speech goes down to some -35 dB, noise lies
            around -60 dB.

    Attributes:
        num_samples: Measured so far, in whole windows until `finish`.
        speech_end: Samples up to the end of the last window that was not nearly silent; 0 if all
            were.
        longest_silence: Samples of the longest run of near-silence, wherever it lies.
    """

    def __init__(self, sample_rate: int, threshold_db: float = -40.0) -> None:
        if not threshold_db < 0:
            raise ValueError(f"threshold_db={threshold_db}: near-silence is below 0, such as -40")
        self.num_samples = 0
        self.speech_end = 0
        self.longest_silence = 0
        self._window = max(1, round(WINDOW_S * sample_rate))
        self._share = 10 ** (threshold_db / 20)
        self._threshold = 10 ** (FLOOR_DB / 20)
        self._rest = np.zeros(0, dtype=np.float32)  # of a window that is not complete

    def feed(self, samples: np.ndarray) -> None:
        """Take the next samples [S], any number of them."""
        samples = np.concatenate((self._rest, samples))
        whole = len(samples) // self._window * self._window
        self._rest = samples[whole:].copy()
        self._measure(samples[:whole].reshape(-1, self._window))

    def finish(self) -> None:
        """Measure the samples at the end that fill no window."""
        if len(self._rest):
            self._measure(self._rest[None])
            self._rest = self._rest[:0]

    def _measure(self, windows: np.ndarray) -> None:
        """Windows [N, W]."""
        levels = np.sqrt(np.square(windows, dtype=np.float64).mean(axis=1))
        for level in levels.tolist():
            self.num_samples += windows.shape[1]
            self._threshold = max(self._threshold, self._share * level)
            if level >= self._threshold:
                self.speech_end = self.num_samples
            silence = self.num_samples - self.speech_end
            self.longest_silence = max(self.longest_silence, silence)
