"""Kernels for all CPUs compute the same, for any number of rows, with keys and values in bytes."""

import pytest
import torch
from torch import Tensor

from sled.fast.native import NativeModel, kernel_level
from sled.fast.native.cache import LARGEST, NativeCache
from sled.fast.native.library import LEVELS
from sled.model.cache import CachedRow, KVCache
from tests.debug import debug_config, debug_model, randn
from tests.fast.forms import NEEDS_KERNELS

# Groups of inputs are full, a part of a group, and no multiple of what AMX reads at once.
SIZES = {"hidden_size": 192, "intermediate_size": 200, "num_attention_heads": 3, "diffloss_w": 144}
NUM_LEVELS = next((number for number, one in LEVELS.items() if one == kernel_level()), 0)


def hidden_states(level: str, rows: int, positions: int) -> Tensor:
    model = NativeModel(debug_model(**SIZES), 8, level=level)
    cache = model.new_cache()
    cache.add_rows(rows)
    inputs = randn(rows, positions, 192)
    states = [
        model.advance(one, list(range(rows)), [one.shape[1]] * rows, cache)
        for one in (inputs, inputs[:, :1])
    ]
    return torch.cat([*states, model.draw(states[1], randn(rows, model.noise_width))], -1)


@pytest.mark.parametrize("level", [one for number, one in LEVELS.items() if number < NUM_LEVELS])
@pytest.mark.parametrize(
    ("rows", "positions"), [(1, 1), (2, 3), (7, 1), (16, 1), (17, 1), (33, 2), (1, 70)]
)
def test_all_instructions_give_the_same(level, rows, positions):
    best = hidden_states(LEVELS[NUM_LEVELS], rows, positions)
    torch.testing.assert_close(hidden_states(level, rows, positions), best, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int8])
def test_native_rows_are_moved_and_dropped_as_those_of_one_tensor_are(dtype):
    sizes = debug_config().architecture
    exact, ours = KVCache(sizes, torch.device("cpu"), torch.float32), NativeCache(sizes, dtype)
    shape = (sizes.num_hidden_layers, sizes.num_key_value_heads, 5, sizes.head_dim)
    for cache in (exact, ours):
        cache.add_rows(3)
        for row in range(3):
            cache.write_row(row, CachedRow(randn(*shape, seed=row), randn(*shape, seed=9 + row)))
        cache.move_row(2, 0)
        cache.drop_rows(1)
        cache.add_rows(2)
        assert cache.lengths == [5, 5, 0, 0]
    for row in range(4):
        for own, theirs in zip(ours.read_row(row), exact.read_row(row), strict=True):
            step = theirs.abs().amax(-1, keepdim=True) / LARGEST
            most = {torch.int8: 0.501 * step, torch.float16: 1e-3 * theirs.abs()}.get(dtype, 0)
            assert bool(((own - theirs).abs() <= most).all())


def test_what_was_read_from_rounded_rows_is_the_same_after_it_is_written():
    sizes = debug_config().architecture
    cache, other = NativeCache(sizes, torch.int8), NativeCache(sizes, torch.int8)
    shape = (sizes.num_hidden_layers, sizes.num_key_value_heads, 300, sizes.head_dim)
    values = randn(*shape)
    values[:, :, 7] = 0
    cache.add_rows(1)
    cache.write_row(0, CachedRow(randn(*shape, seed=1), values))
    other.add_rows(2)
    other.write_row(1, cache.read_row(0))
    for once, twice in zip(cache.read_row(0), other.read_row(1), strict=True):
        torch.testing.assert_close(twice, once, rtol=1e-6, atol=0)


def new_native_cache(model: NativeModel, rows: int) -> NativeCache:
    cache = model.new_cache()
    cache.add_rows(rows)
    return cache


@NEEDS_KERNELS
@pytest.mark.parametrize("bits", [8, 32])
def test_rows_that_join_grow_and_leave_do_not_disturb_others(bits):
    """The states of a row are those that it has alone, whatever happens to its neighbours."""
    model = NativeModel(debug_model(**SIZES, max_position_embeddings=700), bits)
    inputs = randn(4, 600, 192)

    def alone(row: int, start: int) -> Tensor:
        cache = new_native_cache(model, 1)
        return torch.cat(
            [
                model.advance(inputs[row : row + 1, at : at + 1], [0], [1], cache)
                for at in range(start, start + 12)
            ]
        )

    cache = new_native_cache(model, 3)
    heard: dict[int, list[Tensor]] = {0: [], 1: [], 2: [], 3: []}
    rows = [0, 1, 2]  # whose inputs each row of the cache reads

    def step(at: int) -> None:
        states = model.advance(
            inputs[rows, at : at + 1], list(range(len(rows))), [1] * len(rows), cache
        )
        for row, state in zip(rows, states, strict=True):
            heard[row].append(state)

    for at in range(4):
        step(at)
    cache.move_row(2, 0)  # the first leaves, and the last takes its place
    cache.drop_rows(1)
    rows = [2, 1]
    for at in range(4, 8):
        step(at)
    cache.add_rows(1)
    model.advance(inputs[3:, :500], [2], [500], cache)  # grows beyond what it began with
    for at in range(8, 12):
        step(at)
    for row in (1, 2):
        torch.testing.assert_close(torch.stack(heard[row]), alone(row, 0))


def test_memory_of_rows_is_used_again_and_given_back():
    """Rows that come and go need no fresh memory; with the last one, all of it is given back."""
    sizes = debug_config(max_position_embeddings=1024).architecture
    cache = NativeCache(sizes, torch.int8)
    shape = (sizes.num_hidden_layers, sizes.num_key_value_heads, 300, sizes.head_dim)

    def join() -> None:
        cache.add_rows(1)
        cache.write_row(len(cache.lengths) - 1, CachedRow(randn(*shape), randn(*shape)))

    for _ in range(8):
        join()
    peak = cache.num_bytes
    assert peak == 8 * 2 * shape[0] * shape[1] * 512 * (sizes.head_dim + 4)
    for _ in range(20):
        cache.drop_rows(3)
        for _ in range(3):
            join()
        assert cache.num_bytes == peak
    cache.drop_rows(6)
    assert cache.num_bytes == peak / 2  # that of two rows, and as much for others
    cache.drop_rows(2)
    assert cache.num_bytes == 0
