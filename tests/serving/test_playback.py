"""A player in theory: when audio comes too late for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import numpy as np
import pytest

from sled.serving import playback
from sled.serving.playback import Playback
from sled.serving.utterance import Utterance
from sled.serving.waiting import within
from sled.streaming.marks import Mark, MarkKind

RATE = 100


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


class Pieces:
    """A session with numbered pieces, of which the second may come late."""

    sample_rate = RATE

    def __init__(self, count: int, late: bool) -> None:
        self.taken, self._count, self._late = 0, count, late
        self.goes_on = asyncio.Event()

    def __aiter__(self) -> AsyncIterator[np.ndarray]:
        return self

    async def __anext__(self) -> np.ndarray:
        if self.taken == 1 and self._late:
            await self.goes_on.wait()
        if self.taken == self._count:
            raise StopAsyncIteration
        self.taken += 1
        return np.full(1, self.taken)

    def marks(self, kind: MarkKind, since: int, until_s: float) -> list[Mark]:
        """A mark for each piece that has been taken, which is one sample."""
        ends = [number / RATE for number in range(1, self.taken + 1)]
        return [Mark("", end - 1 / RATE, end, 0, 0) for end in ends if end <= until_s][since:]


def test_a_listener_who_hears_it_faster_is_not_kept_waiting() -> None:
    """At double speed, audio lasts half as long: as much more of it may be taken ahead."""

    async def taken_in_no_time(speed: float) -> int:
        session = Pieces(100, late=False)
        utterance = Utterance(session, 10 / RATE, speed=speed)  # a piece is one sample

        async def take() -> None:
            async for _ in utterance.audio():
                pass

        with suppress(TimeoutError):
            await within(0.05, take())
        return session.taken

    counts = [asyncio.run(taken_in_no_time(speed)) for speed in (1.0, 2.0)]
    assert counts[1] - counts[0] >= 8


@pytest.mark.parametrize(
    ("count", "late", "reserve_s", "taken"),
    [
        (5, False, 2.5 / RATE, 3),  # a piece is one sample
        (5, False, 0.0, 1),
        (5, True, 2.5 / RATE, 1),  # the text may be late: what there is is sent
        (2, False, 2.5 / RATE, 2),
        (0, False, 2.5 / RATE, 0),
    ],
)
def test_the_first_audio_comes_when_there_is_a_reserve(
    count: int, late: bool, reserve_s: float, taken: int
) -> None:
    async def main() -> tuple[list[int], list[int]]:
        session = Pieces(count, late)
        heard, taken_then, num_marks = [], [], 0
        utterance = Utterance(session, reserve_s=lambda: reserve_s)
        async for piece in utterance.audio():
            heard.append(int(piece[0]))
            taken_then.append(session.taken)
            num_marks += len(utterance.take_marks("word"))
            assert num_marks == len(heard)  # none of pieces that are held back
            session.goes_on.set()
        assert (utterance.held_s > 0) == bool(count)
        return heard, taken_then

    heard, taken_then = asyncio.run(main())
    assert heard == list(range(1, count + 1))
    assert taken_then[:1] == [taken][: bool(count)]
