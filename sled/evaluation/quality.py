"""How good speech sounds to a listener who knows nothing of it: DNSMOS, from 1 to 5."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import soxr

from sled.evaluation.systems import Synthesis

SAMPLE_RATE = 16_000

Rater = Callable[[np.ndarray], float]
"""Gives an opinion of speech [S] at 16 kHz, within full scale."""


def load_dnsmos() -> Rater:
    """DNSMOS P.835 (Reddy et al. 2022), overall quality; its weights come with its package.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        from speechmos import dnsmos
    except ImportError as error:
        raise ValueError("--dnsmos needs speechmos: run pip install 'sled[quality]'") from error
    return lambda speech: float(dnsmos.run(speech, SAMPLE_RATE)["ovrl_mos"])


class QualityJudge:
    """Asks a rater about each utterance of a synthesis.

    Args:
        rater: Whom to ask.
    """

    def __init__(self, rater: Rater) -> None:
        self._rater = rater

    def __call__(self, synthesis: Synthesis) -> float:
        """Mean opinion; an empty utterance has the worst."""
        opinions = []
        for waveform in synthesis.waveforms:
            if not np.abs(waveform).max(initial=0.0):  # of silence there is nothing to say
                opinions.append(1.0)
                continue
            speech = soxr.resample(waveform, synthesis.sample_rate, SAMPLE_RATE)
            # Louder than full scale it would be refused.
            opinions.append(self._rater(speech / max(1.0, np.abs(speech).max())))
        return float(np.mean(opinions))
