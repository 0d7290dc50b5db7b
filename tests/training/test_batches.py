"""How samples become batches: all of them, once an epoch, with their likes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.data.dataset import LengthGroupedBatchSampler

lengths = st.lists(st.integers(1, 400), min_size=1, max_size=300)


def batches_of(num_frames: list[int], epoch: int = 0, **settings: int) -> list[list[int]]:
    sampler = LengthGroupedBatchSampler(num_frames, **settings)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(sampler) == len(batches)
    return batches


def assert_each_once(batches: list[list[int]], count: int) -> None:
    assert sorted(index for batch in batches for index in batch) == list(range(count))


@given(lengths, st.integers(1, 20))
def test_batch_size_bounds_every_batch(num_frames, batch_size):
    batches = batches_of(num_frames, batch_size=batch_size)
    assert_each_once(batches, len(num_frames))
    assert all(1 <= len(batch) <= batch_size for batch in batches)


@given(lengths, st.integers(1, 2000))
def test_max_frames_bounds_every_padded_batch(num_frames, max_frames):
    """A sample that is longer by itself has a batch to itself."""
    batches = batches_of(num_frames, max_frames=max_frames)
    assert_each_once(batches, len(num_frames))
    for batch in batches:
        padded = len(batch) * max(num_frames[index] for index in batch)
        assert padded <= max_frames or len(batch) == 1


@given(lengths, st.integers(0, 50), st.integers(0, 50))
def test_seed_and_epoch_decide_the_order(num_frames, seed, epoch):
    settings = {"batch_size": 4, "seed": seed, "epoch": epoch}
    assert batches_of(num_frames, **settings) == batches_of(num_frames, **settings)


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 1}])
def test_no_two_epochs_or_seeds_batch_alike(change):
    num_frames = [7 * i % 101 for i in range(200)]
    one, other = (
        batches_of(num_frames, batch_size=4),
        batches_of(num_frames, batch_size=4, **change),
    )
    assert one != other
    assert {frozenset(batch) for batch in one} != {frozenset(batch) for batch in other}


def test_samples_meet_samples_of_like_length():
    num_frames = [37 * i % 1009 for i in range(1000)]

    def padding(batches: list[list[int]]) -> int:
        return sum(
            max(num_frames[j] for j in batch) - num_frames[i] for batch in batches for i in batch
        )

    in_order = [list(range(start, start + 8)) for start in range(0, 1000, 8)]
    assert padding(batches_of(num_frames, batch_size=8)) < 0.1 * padding(in_order)


@pytest.mark.parametrize("settings", [{}, {"batch_size": 4, "max_frames": 100}])
def test_one_bound_is_needed_and_only_one(settings):
    with pytest.raises(ValueError, match="either batch_size or max_frames"):
        LengthGroupedBatchSampler([1, 2, 3], **settings)
