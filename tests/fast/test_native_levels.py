"""Kernels for all CPUs compute the same, for any number of rows, with keys and values in bytes."""

import pytest
import torch
from torch import Tensor

from sled.fast.native import NativeModel, kernel_level
from sled.fast.native.library import LEVELS
from sled.fast.native.rounded_cache import LARGEST, RoundedCache
from sled.model.cache import CachedRow, KVCache
from tests.debug import debug_config, debug_model, randn

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


def test_rounded_rows_are_moved_and_dropped_as_exact_ones_are():
    sizes = debug_config().architecture
    exact, rounded = KVCache(sizes, torch.device("cpu"), torch.float32), RoundedCache(sizes)
    shape = (sizes.num_hidden_layers, sizes.num_key_value_heads, 5, sizes.head_dim)
    for cache in (exact, rounded):
        cache.add_rows(3)
        for row in range(3):
            cache.write_row(row, CachedRow(randn(*shape, seed=row), randn(*shape, seed=9 + row)))
        cache.move_row(2, 0)
        cache.drop_rows(1)
        cache.add_rows(2)
        assert cache.lengths == [5, 5, 0, 0]
    for row in range(4):
        for ours, theirs in zip(rounded.read_row(row), exact.read_row(row), strict=True):
            step = theirs.abs().amax(-1, keepdim=True) / LARGEST
            assert bool(((ours - theirs).abs() <= 0.501 * step).all())
    assert rounded.num_bytes < exact.num_bytes


def test_what_was_read_from_rounded_rows_is_the_same_after_it_is_written():
    sizes = debug_config().architecture
    cache, other = RoundedCache(sizes), RoundedCache(sizes)
    shape = (sizes.num_hidden_layers, sizes.num_key_value_heads, 300, sizes.head_dim)
    values = randn(*shape)
    values[:, :, 7] = 0
    cache.add_rows(1)
    cache.write_row(0, CachedRow(randn(*shape, seed=1), values))
    other.add_rows(2)
    other.write_row(1, cache.read_row(0))
    for once, twice in zip(cache.read_row(0), other.read_row(1), strict=True):
        torch.testing.assert_close(twice, once, rtol=1e-6, atol=0)
