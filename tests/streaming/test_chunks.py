"""Chunk sizes: early sound first, few calls later, and no gap on the way."""

from itertools import islice
from math import ceil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sled.simulation.player import Playback, play
from sled.streaming.chunks import ChunkRamp
from sled.streaming.unit_buffer import UnitBuffer

SAMPLE_RATE, HOP = 24_000, 320
FRAME_S = HOP / SAMPLE_RATE
LOOKAHEAD = 6


def generate(sizes: list[int], real_time_factor: float, call_frames: float) -> Playback:
    """Play what a machine makes that takes constant times for a frame and for a call."""
    now_s, chunks = 0.0, []
    for size in sizes:
        now_s += (size * real_time_factor + call_frames) * FRAME_S
        chunks.append((now_s, size * HOP))
    return play(chunks, SAMPLE_RATE)


def test_sizes_double_from_the_first_sound_to_the_largest() -> None:
    assert list(islice(ChunkRamp(max_frames=48).sizes(LOOKAHEAD), 6)) == [7, 14, 28, 48, 48, 48]
    assert list(islice(ChunkRamp(3, 1.5, 6).sizes(0), 6)) == [3, 4, 6, 6, 6, 6]
    assert list(islice(ChunkRamp(max_frames=4).sizes(LOOKAHEAD), 3)) == [7, 4, 4]


@given(
    real_time_factor=st.floats(0.01, 0.99),
    call_frames=st.floats(0.0, 5.0),
    growth=st.floats(1.0, 4.0),
    spare=st.integers(0, 10),
)
def test_playing_goes_on_whatever_the_speed(
    real_time_factor: float, call_frames: float, growth: float, spare: int
) -> None:
    """If frames come faster than they play, and the first chunk outweighs the price of a call."""
    enough = ceil(call_frames / (1 - real_time_factor)) + spare
    ramp = ChunkRamp(max(1, enough - LOOKAHEAD), growth, max_frames=max(32, enough))
    sizes = list(islice(ramp.sizes(LOOKAHEAD, real_time_factor, call_frames), 60))
    assert generate(sizes, real_time_factor, call_frames).stalls_s == []
    assert all(size <= following for size, following in zip(sizes, sizes[1:], strict=False))


@given(
    real_time_factor=st.floats(0.01, 0.99),
    lookahead=st.integers(0, 6),
    delayed=st.integers(0, 6),
    first=st.integers(1, 4),
)
def test_playing_goes_on_if_the_codec_holds_some_sound_back(
    real_time_factor: float, lookahead: int, delayed: int, first: int
) -> None:
    """The first chunk plays shorter than its frames last, and the next one is to be in time."""
    delayed = min(delayed, lookahead)
    buffer = UnitBuffer(ChunkRamp(first), lookahead, delayed)
    now_s, held, chunks = 0.0, delayed, []
    for _ in range(30):
        while not buffer.is_full:
            buffer.add(torch.zeros(1))
        units = buffer.take(real_time_factor)
        assert units is not None
        now_s += len(units) * real_time_factor * FRAME_S
        chunks.append((now_s, (len(units) - held) * HOP))
        held = 0
    assert play(chunks, SAMPLE_RATE).stalls_s == []


def test_growing_faster_than_that_leaves_a_gap() -> None:
    sizes = list(islice(ChunkRamp().sizes(LOOKAHEAD), 10))
    assert generate(sizes, 0.5, 0.0).stalls_s == []
    assert generate(sizes, 0.6, 0.0).stalls_s != []


def test_chunks_never_shrink_for_being_late() -> None:
    assert ChunkRamp().after(8, real_time_factor=2.0, call_frames=20) == 8


@pytest.mark.parametrize("sizes", [(0, 2.0, 32), (1, 0.5, 32), (1, 2.0, 0)])
def test_impossible_ramps_are_refused(sizes: tuple[int, float, int]) -> None:
    with pytest.raises(ValueError, match="must not shrink"):
        ChunkRamp(*sizes)
