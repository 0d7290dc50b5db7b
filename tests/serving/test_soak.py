"""Sessions leave nothing behind, also if their callers vanish: a small form of soak.py."""

import pytest

from tests.serving.conftest import Running
from tests.serving.soak import act, leaks, measure


@pytest.mark.slow
def test_sessions_leave_nothing_behind(served: Running) -> None:
    act(served, range(-200, 0))
    before = measure()
    act(served, range(400))
    after = measure()
    assert not leaks(before, after), (before, after)
