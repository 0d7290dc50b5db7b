"""Naturalness of speech without a reference: DNSMOS and UTMOS, from 1 to 5."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from sled.evaluation.identity import package_version
from sled.evaluation.judges.base import Heard, Judge
from sled.files.extras import install_command

SAMPLE_RATE = 16_000
DNSMOS_WINDOW_S = 9.01
# Turns what the network gives for the overall quality into the scale of listeners.
DNSMOS_OVERALL = (-0.06766283, 1.11546468, 0.04602535)
UTMOS_NAME = "utmos22_strong"

Rater = Callable[[np.ndarray], float]
"""Returns a score for speech [S] at 16 kHz, within full scale."""


def load_dnsmos() -> Rater:
    """Load DNSMOS P.835 (Reddy et al. 2022), overall quality, with the weights of speechmos.

    The score is that of `speechmos.dnsmos.run`. Its second network, whose score is not reported,
    does not run, and librosa, which prepares the input of that network, is not imported.

    Raises:
        ValueError: If a package is not installed.
    """
    package = find_spec("speechmos")
    try:
        import onnxruntime
    except ImportError:
        package = None
    if package is None or package.origin is None:
        raise ValueError(f"--dnsmos needs speechmos: run {install_command('quality')}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    path = Path(package.origin).with_name("dnsmos_models") / "sig_bak_ovr.onnx"
    network = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])

    def rate(speech: np.ndarray) -> float:
        (scores,) = network.run(None, {"input_1": _dnsmos_windows(speech)})  # [N, 3]
        return float(np.polyval(DNSMOS_OVERALL, scores[:, 2].astype(np.float64)).mean())

    return rate


def _dnsmos_windows(speech: np.ndarray) -> np.ndarray:
    """Windows [N, 9.01 s] of speech [S], which is doubled until there is one.

    They begin a second apart, and the last second of speech begins none unless it has to. The
    package leaves out those that are a sample shorter, because their end is rounded down.
    """
    length = int(DNSMOS_WINDOW_S * SAMPLE_RATE)
    while len(speech) < length:
        speech = np.append(speech, speech)
    count = int(len(speech) // SAMPLE_RATE - DNSMOS_WINDOW_S) + 1
    spans = [
        (number * SAMPLE_RATE, int((number + DNSMOS_WINDOW_S) * SAMPLE_RATE))
        for number in range(count)
    ]
    windows = [speech[start:end] for start, end in spans if end - start == length]
    return np.stack(windows).astype(np.float32)


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
