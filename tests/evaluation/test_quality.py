"""Ratings of naturalness: which audio the rating model gets, and what is reported."""

import numpy as np
import pytest

from sled import TTS
from sled.evaluation.quality import SAMPLE_RATE, QualityJudge, load_dnsmos
from sled.evaluation.systems import Synthesis
from tests.debug import debug_waveform


def synthesis(*waveforms: np.ndarray, sample_rate: int = 24_000) -> Synthesis:
    return Synthesis(list(waveforms), sample_rate, [False] * len(waveforms))


def test_each_utterance_is_rated_at_16_khz_and_within_full_scale():
    seen: list[np.ndarray] = []

    def rater(speech: np.ndarray) -> float:
        seen.append(speech)
        return float(len(seen))

    assert QualityJudge(rater)(synthesis(debug_waveform(0.3), 50 * debug_waveform(0.6))) == 1.5
    assert [len(speech) for speech in seen] == [0.3 * SAMPLE_RATE, 0.6 * SAMPLE_RATE]
    assert np.abs(seen[1]).max() == pytest.approx(1.0)


@pytest.mark.parametrize("nothing", [np.zeros(0, np.float32), np.zeros(2_400, np.float32)])
def test_of_silence_there_is_the_worst_opinion(nothing):
    assert QualityJudge(lambda speech: 5.0)(synthesis(nothing)) == 1.0


@pytest.mark.slow
def test_dnsmos_prefers_a_voice_without_noise():
    pytest.importorskip("speechmos")
    pytest.importorskip("librosa")
    speech = TTS.from_pretrained().say("one two three", seed=0).audio
    noise = np.random.default_rng(0).normal(size=len(speech)).astype(np.float32)
    judge = QualityJudge(load_dnsmos())
    assert 1 <= judge(synthesis(speech + 0.1 * noise)) < judge(synthesis(speech)) <= 5
