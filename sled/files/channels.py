"""Several channels of a recording as one."""

from __future__ import annotations

import numpy as np

# Channels cancel if their mean has less than this share of what the loudest of them alone, averaged
# with silent ones, would give. For two channels it is a quarter of the louder one.
_CANCELLED_SHARE = 0.5


def mix_channels(samples: np.ndarray) -> np.ndarray:
    """Return the mean of channels; if they cancel each other, the loudest of them.

    Stereo recordings with one channel inverted sound normal, but their mean is silent.

    Args:
        samples: Channels [C, S], float, with C of 1 or more.

    Returns:
        Waveform [S].
    """
    mixed: np.ndarray = samples.mean(axis=0)
    if len(samples) == 1 or not mixed.size:
        return mixed
    levels = np.sqrt(np.square(samples, dtype=np.float64).mean(axis=1))
    level = np.sqrt(np.square(mixed, dtype=np.float64).mean())
    if level < _CANCELLED_SHARE * levels.max() / len(samples):
        loudest: np.ndarray = samples[levels.argmax()]
        return loudest
    return mixed
