"""Which speech is redrawn."""

import numpy as np
import pytest

from sled.streaming.faults import Fault, find_fault

RATE = 1000


def speech(*parts: tuple[float, float]) -> np.ndarray:
    """Noise of the given durations in s and levels."""
    random = np.random.default_rng(0)
    return np.concatenate(
        [level * random.normal(size=round(seconds * RATE)) for seconds, level in parts]
    ).astype(np.float32)


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ([(3.0, 0.1)], None),
        ([(1.0, 0.1), (1.5, 0.0), (1.0, 0.1)], None),  # a pause
        ([(1.0, 0.1), (2.5, 0.0), (1.0, 0.1)], Fault.SILENCE),
        ([(1.0, 0.1), (2.5, 1e-4)], Fault.SILENCE),  # a codec's noise is silence too
        ([(2.5, 0.0)], Fault.SILENCE),
        ([(1.0, 0.1), (3.0, 0.01)], None),  # quiet, but speech
    ],
)
def test_silence_is_found_wherever_it_lies(parts, fault):
    assert find_fault(speech(*parts), RATE, stopped=True) == fault


def test_the_longest_silence_can_be_chosen():
    audio = speech((1.0, 0.1), (1.0, 0.0))
    assert find_fault(audio, RATE, stopped=True, max_silence_s=0.5) == Fault.SILENCE


def test_speech_that_was_cut_is_wrong_whatever_it_sounds_like():
    assert find_fault(speech((1.0, 0.1)), RATE, stopped=False) == Fault.ENDLESS
