"""Predictions of how long a larger step takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.streaming.pace import StepTimes, TimePerFrame


def times(*steps: tuple[int, float]) -> StepTimes:
    made = StepTimes()
    for count, seconds in steps:
        made.add(count, seconds)
    return made


def test_nothing_is_known_at_first() -> None:
    assert StepTimes().predict(3) == TimePerFrame().seconds == 0


@given(
    count=st.integers(1, 20),
    other=st.integers(1, 20),
    fixed=st.floats(0, 0.9),
    slower=st.floats(0.5, 4.0),
)
def test_a_step_of_another_size_is_predicted(
    count: int, other: int, fixed: float, slower: float
) -> None:
    """Steps take a time, and a time for each utterance; later, the machine is slower or faster."""

    def seconds(number: int) -> float:
        return 0.01 * (fixed + (1 - fixed) * number)

    made = times(*(2 * ((1, seconds(1)), (2, seconds(2)), (4, seconds(4))) * 40))
    for _ in range(80):
        made.add(count, slower * seconds(count))
    here = slower * seconds(count)
    assert made.predict(count) == pytest.approx(here, rel=0.02)
    change, share = (other - count) * here / count, abs(0.02 * here)
    low, high = sorted((0.45 * change, 1.05 * change))
    assert low - share <= made.predict(other) - here <= high + share


def test_one_more_costs_as_much_as_was_seen() -> None:
    made = times(*(((1, 0.010), (3, 0.022), (8, 0.052)) * 100))
    assert made.predict(12) == pytest.approx(0.076, rel=0.05)


def test_what_a_session_costs_is_known_after_a_time_without_others() -> None:
    """The first callers after a quiet night are not refused since one alone takes long."""
    made = times(*(((1, 0.010), (3, 0.022), (8, 0.052)) * 100), *((1, 0.010),) * 5000)
    assert made.predict(8) == pytest.approx(0.052, rel=0.1)


def test_one_slow_step_changes_little() -> None:
    made = times((1, 0.01))
    made.add(1, 10.0)
    assert made.predict(1) <= 0.011 + 1e-9


def test_work_for_several_sessions_at_once_is_shared_by_them() -> None:
    made = TimePerFrame()
    for _ in range(100):
        made.add(0.004, 2)  # one session: most of the time is that of the call
        made.add(0.010, 4 * 5)
    assert made.seconds == pytest.approx(0.014 / 22, rel=0.1)
