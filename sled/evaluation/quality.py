"""Naturalness of speech, without a reference: DNSMOS, from 1 to 5."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import soxr

from sled.evaluation.systems import Synthesis
from sled.files.extras import install_command

SAMPLE_RATE = 16_000

Rater = Callable[[np.ndarray], float]
"""Returns a score for speech [S] at 16 kHz, within full scale."""


def load_dnsmos() -> Rater:
    """Load DNSMOS P.835 (Reddy et al. 2022), overall quality; its package has the weights.

    Raises:
        ValueError: If its package is not installed.
    """
    try:
        from speechmos import dnsmos
    except ImportError as error:
        raise ValueError(f"--dnsmos needs speechmos: run {install_command('quality')}") from error
    return lambda speech: float(dnsmos.run(speech, SAMPLE_RATE)["ovrl_mos"])


class QualityJudge:
    """Scores each utterance with a rater.

    Args:
        rater: The model that scores speech.
    """

    def __init__(self, rater: Rater) -> None:
        self._rater = rater

    def __call__(self, synthesis: Synthesis) -> float:
        """Return the mean score; an empty utterance has the worst."""
        opinions = []
        for waveform in synthesis.waveforms:
            if not np.abs(waveform).max(initial=0.0):  # silence cannot be rated
                opinions.append(1.0)
                continue
            speech = soxr.resample(waveform, synthesis.sample_rate, SAMPLE_RATE)
            # The rater refuses samples beyond full scale.
            opinions.append(self._rater(speech / max(1.0, np.abs(speech).max())))
        return float(np.mean(opinions))
