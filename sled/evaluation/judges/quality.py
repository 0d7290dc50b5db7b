"""Naturalness of speech without a reference: DNSMOS and UTMOS, from 1 to 5."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from sled.evaluation.identity import package_version
from sled.evaluation.judges.base import Heard, Judge
from sled.files.extras import install_command

SAMPLE_RATE = 16_000
UTMOS_NAME = "utmos22_strong"

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


def load_utmos(folder: str) -> Rater:
    """Load UTMOS (Saeki et al. 2022), as a hub folder of torch offers it.

    Args:
        folder: A clone of the repository tarepan/SpeechMOS.

    Raises:
        ValueError: If there is none.
    """
    if not Path(folder, "hubconf.py").is_file():
        raise ValueError(f"no hubconf.py in {folder}: name a clone of tarepan/SpeechMOS")
    predictor = torch.hub.load(folder, UTMOS_NAME, source="local", trust_repo=True)  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def rate(speech: np.ndarray) -> float:
        return float(predictor(torch.from_numpy(speech.astype(np.float32))[None], SAMPLE_RATE))

    return rate


class QualityJudge(Judge):
    """Scores each utterance with a rater.

    Args:
        name: Its name.
        rater: The model that scores speech.
        described: Its version.
    """

    def __init__(self, name: str, rater: Rater, described: str) -> None:
        self.name, self._rater, self.version = name, rater, described

    @override
    def judge(self, heard: Sequence[Heard]) -> list[dict[str, Any]]:
        return [{self.name: self._rate(one)} for one in heard]

    def _rate(self, heard: Heard) -> float:
        if heard.is_silent:  # which cannot be rated: the worst score
            return 1.0
        speech = heard.at(SAMPLE_RATE)
        # Raters refuse samples beyond full scale.
        return self._rater(speech / max(1.0, np.abs(speech).max()))


def dnsmos_judge() -> QualityJudge:
    """Load the judge of DNSMOS."""
    return QualityJudge("dnsmos", load_dnsmos(), package_version("speechmos"))


def utmos_judge(folder: str) -> QualityJudge:
    """Load the judge of UTMOS from a folder, see `load_utmos`."""
    return QualityJudge("utmos", load_utmos(folder), UTMOS_NAME)
