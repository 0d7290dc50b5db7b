"""Progress of long steps outside a terminal."""

import logging

import pytest

from sled.files import progress
from sled.files.progress import Progress, track


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    caplog.set_level(logging.INFO, logger="sled")
    return clock


def test_a_line_comes_every_half_minute_with_the_time_left(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with Progress("codes train", 100, "clip", initial=40) as shown:
        for _ in range(60):
            clock.now += 5
            shown.advance(note="9 x real time")
    assert caplog.messages[0] == "codes train: 46 of 100 clips, 9 x real time, 04:30 left"
    assert len(caplog.messages) == 10


def test_a_short_step_says_nothing(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    assert list(track("abc", "align", "cut")) == ["a", "b", "c"]
    assert not caplog.messages


def test_the_number_of_items_need_not_be_known(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in track(iter(range(3)), "checking", "clip"):
        clock.now += 31
    assert caplog.messages == [f"checking: {done} clips" for done in (1, 2, 3)]
