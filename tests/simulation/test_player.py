"""The simulated player, against a player that plays second by second."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.simulation.player import play

# Whole seconds, at one sample a second.
chunk_lists = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5)), max_size=12).map(
    lambda waits: [(sum(w for w, _ in waits[: i + 1]), n) for i, (_, n) in enumerate(waits)]
)


def play_second_by_second(
    chunks: list[tuple[int, int]], start_buffer: int
) -> tuple[int, list[int]]:
    """Return the start of playback and the duration of each stall."""
    total = sum(samples for _, samples in chunks)
    last_arrival = max(arrival for arrival, samples in chunks if samples)
    played, start, silences, silent = 0, None, [], 0
    for now in range(1000):
        there = sum(samples for arrival, samples in chunks if arrival <= now)
        if start is None and there and (there >= start_buffer or now >= last_arrival):
            start = now
        if start is None or played == total:
            continue
        if there > played:
            played += 1
            silences += [silent] if silent else []
            silent = 0
        else:
            silent += 1
    assert start is not None and played == total
    return start, silences


@given(chunks=chunk_lists, start_buffer=st.integers(0, 8))
def test_it_plays_and_falls_silent_like_a_real_one(
    chunks: list[tuple[int, int]], start_buffer: int
) -> None:
    if not any(samples for _, samples in chunks):
        with pytest.raises(ValueError, match="no audio"):
            play(chunks, 1, start_buffer)
        return
    playback = play(chunks, 1, start_buffer)
    start, silences = play_second_by_second(chunks, start_buffer)
    assert (playback.start_s, playback.stalls_s) == (start, silences)
    assert playback.first_audio_s == next(arrival for arrival, samples in chunks if samples)
    assert playback.duration_s == sum(samples for _, samples in chunks)


def test_margins_say_how_early_each_chunk_came() -> None:
    playback = play([(1.0, 100), (1.5, 200), (2.5, 0), (4.5, 100)], sample_rate=100)
    assert [chunk.margin_s for chunk in playback.chunks] == [0.0, 0.5, -0.5]
    assert playback.stalls_s == [0.5]


def test_chunks_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="out of order"):
        play([(1.0, 10), (0.5, 10)], 100)
