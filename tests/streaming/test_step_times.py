"""Predictions of how long a larger step takes."""

import pytest

from sled.streaming.step_times import StepTimes


def times(**seconds: float) -> StepTimes:
    made = StepTimes()
    for name, value in seconds.items():
        made.add(int(name[1:]), value)
    return made


@pytest.mark.parametrize(
    ("known", "count", "seconds"),
    [
        ({}, 3, 0.0),
        ({"n1": 0.01}, 1, 0.01),
        ({"n1": 0.01}, 4, 0.04),  # nothing else is known than that it grows
        ({"n1": 0.010, "n3": 0.014}, 2, 0.012),
        ({"n1": 0.010, "n2": 0.018}, 4, 0.034),
        ({"n1": 0.010, "n2": 0.010}, 4, 0.015),  # flat so far; half a share for each further one
        ({"n4": 0.02}, 2, 0.02),  # a smaller one takes no longer
    ],
)
def test_prediction(known: dict[str, float], count: int, seconds: float) -> None:
    assert times(**known).predict(count) == pytest.approx(seconds)


def test_one_slow_step_changes_little() -> None:
    made = times(n1=0.01)
    made.add(1, 10.0)
    assert made.predict(1) <= 0.011 + 1e-9
