"""Removes near-silence at the end of speech while the speech is being generated."""

from __future__ import annotations

import numpy as np

from sled.streaming.loudness import SilenceMeter


class TailTrimmer:
    """Passes a waveform on without the near-silence after the last speech.

    After speech, the first `keep_s` of near-silence are passed on. The rest is held back. If more
    speech follows, it is released; if the waveform ends, it is dropped. At most `hold_s` are held
    back, so that a player does not stall in a long pause. What exceeds them is released and stays
    in the output even at the end. The concatenated output does not depend on how the waveform was
    cut. See `SilenceMeter` for the definition of near-silence.

    Args:
        sample_rate: In Hz.
        keep_s: Near-silence to keep after speech, for the decay of the last sound.
        hold_s: Longest near-silence to hold back. None: no limit.
        threshold_db: Level of near-silence.
    """

    def __init__(
        self,
        sample_rate: int,
        *,
        keep_s: float = 0.2,
        hold_s: float | None = 0.5,
        threshold_db: float = -40.0,
    ) -> None:
        if keep_s < 0 or (hold_s is not None and hold_s < 0):
            raise ValueError(f"keep_s={keep_s}, hold_s={hold_s}: durations are at least 0")
        self._meter = SilenceMeter(sample_rate, threshold_db)
        self._keep = round(keep_s * sample_rate)
        self._hold = None if hold_s is None else round(hold_s * sample_rate)
        self._held = np.zeros(0, dtype=np.float32)
        self._num_passed = 0

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Add samples [S] float32, any number; return those that can be passed on."""
        self._meter.feed(samples)
        self._held = np.concatenate((self._held, samples))
        return self._pass_on()

    def release(self) -> np.ndarray:
        """Return the samples that are held back: what follows is not the end."""
        held, self._held = self._held, self._held[:0]
        self._num_passed += len(held)
        return held

    def finish(self) -> np.ndarray:
        """End the waveform; return the remaining samples without the trimmed ones."""
        self._meter.finish()
        return self._pass_on()

    def _pass_on(self) -> np.ndarray:
        num_samples = self._num_passed + len(self._held)
        wanted = self._meter.speech_end + self._keep
        if self._hold is not None:
            wanted = max(wanted, num_samples - self._hold)
        if self._meter.speech_end == 0:  # silence before any speech is kept
            wanted = num_samples
        # After `release`, more may have been passed on than is wanted.
        count = max(0, min(wanted, num_samples) - self._num_passed)
        passed, self._held = self._held[:count], self._held[count:]
        self._num_passed += count
        return passed


def trim_tail(
    waveform: np.ndarray, sample_rate: int, *, keep_s: float = 0.2, threshold_db: float = -40.0
) -> np.ndarray:
    """Return a waveform [S] without the near-silence at its end; see `TailTrimmer`."""
    trimmer = TailTrimmer(sample_rate, keep_s=keep_s, hold_s=None, threshold_db=threshold_db)
    return np.concatenate((trimmer.feed(waveform), trimmer.finish()))
