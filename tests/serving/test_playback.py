"""A player in theory: when audio comes too late for it."""

import pytest

from sled.serving import playback
from sled.serving.playback import Playback


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(playback.time, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("pieces", "least_lead_s", "underrun_s"),
    [
        # (when it is asked for, when it comes), pieces of one second
        ([(0, 0)], None, 0.0),
        ([(0, 0), (0, 0.2), (0.2, 0.5)], 0.8, 0.0),
        ([(0, 0), (0, 0.9), (0.9, 2.0)], 0.0, 0.0),
        ([(0, 0), (0, 1.5), (1.5, 2.0)], -0.5, 0.5),
        ([(0, 0), (0, 1.5), (1.5, 3.0)], -0.5, 1.0),
        ([(0, 0), (5, 5.5), (5.5, 6.0)], 0.5, 0.0),  # whoever takes it has been slow
    ],
)
def test_lead_and_underrun(
    clock: list[float],
    pieces: list[tuple[float, float]],
    least_lead_s: float | None,
    underrun_s: float,
) -> None:
    player = Playback()
    for asked_s, came_s in pieces:
        clock[0] = 100 + came_s
        player.add(1.0, 100 + asked_s)
    assert player.least_lead_s == (least_lead_s and pytest.approx(least_lead_s))
    assert player.underrun_s == pytest.approx(underrun_s)
