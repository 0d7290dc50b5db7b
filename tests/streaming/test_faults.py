"""Runs that went wrong are told from those that only differ."""

import numpy as np
import pytest

from sled.streaming.faults import Fault, FaultLimits
from sled.streaming.loudness import SilenceMeter

LIMITS = FaultLimits(min_frames_per_token=10, max_frames_per_token=30)
GOOD = {"num_tokens": 6, "num_frames": 120, "silence_s": 0.4, "stopped": True}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"num_frames": 6 * 30}, None),
        ({"num_frames": 6 * 30 + 20}, None),  # longer than any recording, but not by far
        ({"num_frames": 6 * 45 + 1}, Fault.OVERLONG),
        ({"num_frames": 6 * 45 + 1, "stopped": False}, Fault.OVERLONG),
        ({"num_frames": 6 * 10}, None),
        ({"num_frames": 6 * 8}, None),
        ({"num_frames": 39}, Fault.EARLY_STOP),
        ({"num_frames": 39, "stopped": False}, None),  # on its way
        ({"silence_s": 2.0}, None),
        ({"silence_s": 2.1}, Fault.SILENCE),
        ({"silence_s": 2.1, "stopped": False}, Fault.SILENCE),
    ],
)
def test_a_run_is_wrong_only_if_it_is_by_far(changes: dict, fault: Fault | None) -> None:
    assert LIMITS.fault(**GOOD | changes) is fault


def test_without_statistics_only_silence_can_be_told() -> None:
    unknown = FaultLimits()
    assert unknown.fault(**GOOD | {"num_frames": 10_000}) is None
    assert unknown.fault(**GOOD | {"num_frames": 0}) is None
    assert unknown.fault(**GOOD | {"silence_s": 3.0}) is Fault.SILENCE


def test_an_endless_tail_is_found_while_it_grows() -> None:
    rate, random = 24_000, np.random.default_rng(0)
    meter = SilenceMeter(rate)
    meter.feed(random.normal(0, 0.1, rate).astype(np.float32))
    num_frames, fault = 0, None
    while fault is None:
        meter.feed(random.normal(0, 1e-4, 320).astype(np.float32))
        num_frames += 1
        silence_s = meter.longest_silence / rate
        fault = LIMITS.fault(**GOOD | {"silence_s": silence_s, "stopped": False})
    assert fault is Fault.SILENCE
    assert num_frames == pytest.approx(150, abs=2)  # 75 a second


def test_impossible_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="tolerance=0.5"):
        FaultLimits(tolerance=0.5)
    with pytest.raises(ValueError, match="max_silence_s=0"):
        FaultLimits(max_silence_s=0)
