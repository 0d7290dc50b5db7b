"""Slow text delays the first audio, so that playback has no gaps; other text does not."""

import asyncio
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.simulation.player import play
from sled.streaming.audio_queue import AudioQueue, Chunk
from sled.streaming.start_delay import HORIZON_S, SLOWER, StartDelay

TOKENS, SPEECH_S = 5, 1.0  # of a chunk
NEEDED = TOKENS / SPEECH_S
NEVER_LIMITED = 1e9
LONG_S = 60.0


def delay_of(
    seconds_per_token: float, max_delay_s: float = NEVER_LIMITED, num_waiting: int = 0
) -> float:
    """After the first chunk of tokens, each written in that time."""
    watch = StartDelay(NEEDED, max_delay_s)
    for number in range(TOKENS):
        watch.count(1, number * seconds_per_token)
    return watch.seconds(num_waiting)


def chunk(samples: int = 4) -> Chunk:
    return Chunk(np.zeros(samples, np.float32), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, SLOWER])
def test_text_that_comes_fast_enough_is_heard_at_once(share: float) -> None:
    assert delay_of(share / NEEDED) == pytest.approx(0, abs=1e-9)


@given(st.floats(1 / NEEDED, 4 / NEEDED))
def test_after_the_delay_a_player_has_no_gap_within_the_horizon(seconds_per_token: float) -> None:
    num_chunks = int(HORIZON_S / SPEECH_S)
    written_s = [TOKENS * seconds_per_token * (1 + number) for number in range(num_chunks)]
    written_s[0] += delay_of(seconds_per_token)
    arrivals = [(max(written_s[0], at), 100) for at in written_s]
    assert not play(arrivals, round(100 / SPEECH_S)).stalls_s


def test_no_delay_is_longer_than_allowed() -> None:
    assert delay_of(10 / NEEDED, max_delay_s=0.7) == 0.7
    assert delay_of(10 / NEEDED, max_delay_s=0.0) == 0.0


def test_text_that_comes_at_once_says_nothing_of_how_fast_it_comes() -> None:
    watch = StartDelay(NEEDED, 1.0)
    assert watch.seconds(0) == 0
    watch.count(TOKENS, LONG_S)
    assert watch.seconds(0) == 0


def test_text_that_is_there_already_is_not_waited_for() -> None:
    enough = round(HORIZON_S * NEEDED)
    assert delay_of(10 / NEEDED, num_waiting=enough) == 0
    half = delay_of(10 / NEEDED, num_waiting=enough // 2)
    assert half + HORIZON_S == pytest.approx((delay_of(10 / NEEDED) + HORIZON_S) / 2)


def test_held_chunks_are_taken_in_time() -> None:
    sink = AudioQueue()
    start = time.perf_counter()
    sink.hold(0.1)
    sink.put(chunk())
    taken = sink.take()
    assert taken is not None
    assert time.perf_counter() - start >= 0.09
    assert taken.ready_at_s - start >= 0.09


def test_a_task_waits_for_held_chunks_too() -> None:
    sink = AudioQueue()
    sink.put(chunk())
    start = time.perf_counter()
    sink.hold(0.1)
    assert asyncio.run(sink.take_async()) is not None
    assert time.perf_counter() - start >= 0.09


def test_release_and_the_end_let_go_what_is_held() -> None:
    for let_go in (AudioQueue.release, AudioQueue.end):
        sink = AudioQueue()
        sink.put(chunk())
        sink.hold(LONG_S)
        threading.Timer(0.05, let_go, [sink]).start()
        taken = sink.take()
        assert taken is not None
        assert taken.ready_at_s <= time.perf_counter()


def test_a_task_that_is_cancelled_as_held_chunks_are_let_go_takes_none() -> None:
    async def cancel_after(rounds: int) -> None:
        sink = AudioQueue()
        sink.put(chunk())
        sink.hold(LONG_S)
        task = asyncio.create_task(sink.take_async())
        await asyncio.sleep(0)  # it waits
        sink.release()
        for _ in range(rounds):
            await asyncio.sleep(0)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
            assert sink.waiting()

    for rounds in range(6):
        asyncio.run(cancel_after(rounds))


def test_nothing_is_held_once_the_text_is_complete() -> None:
    sink = AudioQueue()
    sink.release()
    sink.hold(LONG_S)
    sink.put(chunk())
    assert sink.take() is not None
