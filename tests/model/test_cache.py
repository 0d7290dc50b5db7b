"""Decoding with the cache against passes without one, for any steps and rows."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sled.model.cache import KVCache
from sled.model.lm import SpeechLM
from tests.debug import debug_model, randn
from tests.oracles import alone

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def new_cache(model: SpeechLM, rows: int) -> KVCache:
    cache = KVCache(model.config.architecture, torch.device("cpu"), torch.float32)
    cache.add_rows(rows)
    return cache


def read(
    model: SpeechLM,
    inputs: Tensor,
    cache: KVCache,
    counts: list[int],
    rows: list[int] | None = None,
) -> Tensor:
    """A step of all rows, where `counts[r]` of the inputs [R, Q, H] are real."""
    cache.extend(list(range(len(counts))) if rows is None else rows, counts)
    return model.model(inputs, cache)


@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=8), kv_heads=st.sampled_from([4, 2]))
@torch.no_grad()
def test_chunks_of_any_sizes_equal_the_whole(sizes, kv_heads):
    model = debug_model(num_key_value_heads=kv_heads)
    embeddings = randn(1, sum(sizes), 32)
    cache = new_cache(model, rows=1)
    chunks = [read(model, chunk, cache, [chunk.shape[1]]) for chunk in embeddings.split(sizes, 1)]
    torch.testing.assert_close(torch.cat(chunks, 1)[0], alone(model, embeddings[0]), **TOLERANCE)


@given(st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), min_size=1, max_size=6))
@torch.no_grad()
def test_ragged_rows_equal_rows_alone(steps):
    """Each step feeds a different number of inputs to some of three rows; padding is arbitrary."""
    model = debug_model()
    lengths = [sum(counts) for counts in zip(*steps, strict=True)]
    inputs = [randn(length, 32, seed=row) for row, length in enumerate(lengths)]
    cache = new_cache(model, rows=3)
    done, hidden = [0, 0, 0], [[], [], []]
    for step in steps:
        rows = [row for row, count in enumerate(step) if count]
        if not rows:
            continue
        counts = [step[row] for row in rows]
        padded = torch.full((len(rows), max(counts), 32), 1e3)
        for place, (row, count) in enumerate(zip(rows, counts, strict=True)):
            padded[place, :count] = inputs[row][done[row] : done[row] + count]
            done[row] += count
        outputs = read(model, padded, cache, counts, rows)
        for row, count, output in zip(rows, counts, outputs, strict=True):
            hidden[row].append(output[:count])
    for row in range(3):
        if lengths[row]:
            expected = alone(model, inputs[row])
            torch.testing.assert_close(torch.cat(hidden[row]), expected, **TOLERANCE)


@torch.no_grad()
def test_rows_that_come_and_go_do_not_disturb_those_that_stay():
    model, inputs = debug_model(), randn(4, 9, 32)
    cache = new_cache(model, rows=3)
    read(model, inputs[:3, :6], cache, [6, 6, 6])
    cache.move_row(2, 0)  # the first row leaves, and the last takes its place
    cache.drop_rows(1)
    cache.add_rows(1)  # a new one is where the last was
    outputs = read(model, inputs[[2, 1, 3], 6:], cache, [3, 3, 3])
    for row, states in zip([2, 1], outputs, strict=False):
        torch.testing.assert_close(states, alone(model, inputs[row])[6:], **TOLERANCE)
    torch.testing.assert_close(outputs[2], alone(model, inputs[3, 6:]), **TOLERANCE)


@torch.no_grad()
def test_a_row_can_be_taken_out_and_put_into_another_cache():
    model, inputs = debug_model(), randn(1, 9, 32)
    cache = new_cache(model, rows=1)
    read(model, inputs[:, :6], cache, [6])
    held = cache.read_row(0)
    read(model, 1e3 * inputs[:, 6:], cache, [3])  # what happens later does not reach the copy
    other = new_cache(model, rows=3)
    other.write_row(1, held)
    rest = read(model, inputs[:, 6:], other, [3], rows=[1])[0]
    torch.testing.assert_close(rest, alone(model, inputs[0])[6:], **TOLERANCE)


@pytest.mark.parametrize("rows", [1, 3])
@torch.no_grad()
def test_the_cache_grows_without_being_asked(rows):
    """Beyond its initial size, in positions and in rows."""
    model, inputs = debug_model(max_position_embeddings=1024), randn(rows, 600, 32)
    cache = new_cache(model, rows=1)
    cache.add_rows(rows - 1)
    pieces = [read(model, piece, cache, [100] * rows) for piece in inputs.split(100, dim=1)]
    for row, states in enumerate(torch.cat(pieces, 1)):
        torch.testing.assert_close(states, alone(model, inputs[row]), **TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("moved", [False, True])
def test_a_row_that_went_wrong_is_not_seen_by_who_gets_its_place(moved):
    """Masked positions have weight 0, but 0 times NaN is NaN."""
    model, inputs = debug_model(), randn(2, 20, 32)
    cache = new_cache(model, rows=2)
    wrong = torch.full((1, 30, 32), float("nan"))
    read(model, wrong, cache, [30], rows=[0 if moved else 1])
    if moved:
        cache.move_row(1, 0)
    cache.drop_rows(1)
    cache.add_rows(1)
    outputs = read(model, inputs, cache, [20, 3])  # beside a longer one
    torch.testing.assert_close(outputs[0], alone(model, inputs[0]), **TOLERANCE)
    torch.testing.assert_close(outputs[1, :3], alone(model, inputs[1, :3]), **TOLERANCE)


@torch.no_grad()
def test_memory_is_given_back_when_rows_leave():
    model = debug_model()
    cache = new_cache(model, rows=16)
    read(model, randn(16, 3, 32), cache, [3] * 16)
    peak = cache.num_bytes
    cache.drop_rows(13)
    assert 0 < cache.num_bytes < peak / 2
    cache.drop_rows(3)
    assert cache.num_bytes == 0


def test_rows_for_which_there_is_no_memory_change_nothing(monkeypatch):
    cache = new_cache(debug_model(), rows=2)
    monkeypatch.setattr(cache, "_allocate", lambda *_: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        cache.add_rows(9)
    assert cache.lengths == [0, 0]
