"""Batches: each cut once per epoch, with cuts of similar length, the same on every process."""

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lhotse import CutSet, MonoCut

from sled.data.sampling import SpeechBatches, TrainingBatches
from sled.files import progress

durations = st.lists(st.floats(0.3, 20.0), min_size=1, max_size=120)


def cuts_of(durations_s: list[float]) -> CutSet:
    """Cuts of the given lengths, without contents."""
    return CutSet.from_cuts(
        MonoCut(str(index), 0.0, duration, 0) for index, duration in enumerate(durations_s)
    )


def batches_of(durations_s: list[float], **options: object) -> SpeechBatches:
    return SpeechBatches(lambda epoch: cuts_of(durations_s), **options)  # type: ignore[arg-type]


def ids(batches: list) -> list[list[str]]:
    return [[cut.id for cut in batch] for batch in batches]


def assert_each_once(batches: list, count: int) -> None:
    assert sorted(int(cut.id) for batch in batches for cut in batch) == list(range(count))


@given(durations, st.integers(1, 9))
def test_a_number_of_cuts_bounds_every_batch(durations_s, max_cuts):
    batches = list(batches_of(durations_s, max_cuts=max_cuts).epoch(0))
    assert_each_once(batches, len(durations_s))
    assert max(map(len, batches)) <= max_cuts


@given(durations, st.floats(2.0, 40.0))
def test_a_duration_bounds_every_batch_padding_included(durations_s, limit_s):
    batches = list(batches_of(durations_s, max_duration_s=limit_s).epoch(0))
    assert_each_once(batches, len(durations_s))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(cut.duration for cut in batch) <= limit_s


def test_long_cuts_can_count_for_more():
    """A cut of 10 s counts as 10 + 10^2 / 5 = 30 s."""
    (batch, *_) = batches_of([10.0] * 12, max_duration_s=60, quadratic_duration_s=5).epoch(0)
    assert len(batch) == 2


def padding_share(batches: list) -> float:
    held = sum(cut.duration for batch in batches for cut in batch)
    return 1 - held / sum(len(b) * max(cut.duration for cut in b) for b in batches)


def test_like_lengths_meet():
    durations_s = [0.5 + (37 * i % 1000) / 100 for i in range(2000)]
    grouped = list(batches_of(durations_s, max_cuts=8).epoch(0))
    mixed = list(batches_of(durations_s, max_cuts=8, by_length=False).epoch(0))
    assert padding_share(grouped) < 0.05 < 0.3 < padding_share(mixed)


def test_no_two_epochs_batch_alike_and_the_seed_decides():
    batches = batches_of([1.0 + i % 7 for i in range(60)], max_cuts=4)
    assert ids(batches.epoch(0)) == ids(batches.epoch(0)) != ids(batches.epoch(1))
    other = batches_of([1.0 + i % 7 for i in range(60)], max_cuts=4, seed=5)
    assert ids(other.epoch(0)) != ids(batches.epoch(0))


def test_lengths_follow_one_another_differently_in_each_epoch():
    batches = batches_of([1.0 + i % 300 / 100 for i in range(600)], max_duration_s=20)
    assert len(batches.duration_bins) > 5
    first, second = (
        [batch[0].duration // 0.5 for batch in batches.epoch(epoch)] for epoch in (0, 1)
    )
    alike = sum(one == other for one, other in zip(first, second, strict=False)) / len(first)
    assert alike < 0.5


@given(st.integers(1, 3), st.integers(1, 4))
@settings(max_examples=10)
def test_a_step_holds_the_same_however_it_is_divided(accumulated, world_size):
    durations_s = [1.0] * 120
    alone = batches_of(durations_s, max_cuts=2, per_step=accumulated * world_size)
    shares = [
        list(
            batches_of(
                durations_s, max_cuts=2, per_step=accumulated, rank=rank, world_size=world_size
            ).epoch(0)
        )
        for rank in range(world_size)
    ]
    steps = len(shares[0]) // accumulated
    whole = ids(list(alone.epoch(0)))
    size = accumulated * world_size
    for step in range(steps):
        ours = whole[step * size : (step + 1) * size]
        divided = ids([b for share in shares for b in share[step * accumulated :][:accumulated]])
        assert sorted(ours) == sorted(divided)


def test_a_mixed_batch_is_limited_by_what_it_holds():
    """Only attention pads such a batch."""
    durations_s = [0.5 + (37 * i % 1000) / 100 for i in range(500)]
    batches = list(batches_of(durations_s, max_duration_s=60, by_length=False).epoch(0))
    assert_each_once(batches, 500)
    _, *held = sorted(sum(cut.duration for cut in batch) for batch in batches)  # one is the rest
    assert 60 - max(durations_s) < held[0] <= held[-1] <= 60


@given(st.integers(2, 4), st.integers(20, 100))
@settings(max_examples=10)
def test_processes_share_the_work(world_size, count):
    durations_s = [1.0 + (7 * i % 50) / 10 for i in range(count)]
    shares = [
        list(batches_of(durations_s, max_cuts=3, rank=rank, world_size=world_size).epoch(0))
        for rank in range(world_size)
    ]
    assert len({len(share) for share in shares}) == 1  # nobody waits for another at the end
    drawn = [cut.id for share in shares for batch in share for cut in batch]
    again = [name for name in drawn if "_dup" in name]  # for those who would go without
    assert len(again) < world_size
    assert sorted(set(drawn) - set(again), key=int) == list(map(str, range(count)))


@given(st.integers(0, 40))
def test_training_goes_on_from_any_batch(position):
    """Across the ends of epochs, given the lengths of the epochs that a checkpoint records."""
    batches = batches_of([1.0 + i % 5 for i in range(25)], max_cuts=2)
    whole = TrainingBatches(batches)
    expected = ids(list(islice(whole, 60)))
    later = TrainingBatches(batches)
    later.epoch_lengths = list(whole.epoch_lengths)
    later.start = position
    assert ids(list(islice(later, 60 - position))) == expected[position:]
    assert later.epoch_lengths == whole.epoch_lengths


def test_it_tells_how_far_it_is_on_the_way_to_that_batch(monkeypatch, caplog):
    monkeypatch.setattr(progress, "LINE_S", 0.0)
    caplog.set_level("INFO")
    batches = TrainingBatches(batches_of([1.0] * 10, max_cuts=2))
    next(iter(batches))
    assert not caplog.messages
    batches.start = 3
    next(iter(batches))
    said = [message.rpartition(",")[0] for message in caplog.messages]
    assert said == [f"finding the place: {done} of 3 batches" for done in (1, 2, 3)]


def test_epochs_are_counted_by_their_true_lengths():
    batches = TrainingBatches(batches_of([1.0] * 10, max_cuts=3))
    list(islice(batches, 9))  # four batches an epoch
    assert batches.epoch_lengths == [4, 4]
    assert [batches.epochs_at(position) for position in (0, 2, 4, 6, 8)] == [0, 0.5, 1, 1.5, 2]


def test_the_first_epoch_is_counted_in_fractions_from_its_first_batch():
    batches = TrainingBatches(batches_of([1.0] * 12, max_cuts=2))
    assert [batches.epochs_at(position) for position in (1, 2, 3)] == [1 / 6, 1 / 3, 1 / 2]
    halves = [
        TrainingBatches(batches_of([1.0] * 12, max_cuts=2, rank=rank, world_size=2))
        for rank in (0, 1)
    ]
    assert [half.epochs_at(1) for half in halves] == [1 / 3, 1 / 3]


def test_the_length_of_a_long_epoch_is_estimated(monkeypatch):
    """Of the corpus only the first cuts are known, and how many there are in all."""
    monkeypatch.setattr("sled.data.sampling.NUM_CUTS_FOR_BUCKETS", 20)
    batches = TrainingBatches(batches_of([1.0] * 100, max_cuts=2, num_cuts=lambda: 100))
    assert batches.epochs_at(5) == 0.1


@pytest.mark.parametrize("limits", [{}, {"max_cuts": 2, "max_duration_s": 3.0}])
def test_one_limit_is_needed_and_no_more(limits):
    with pytest.raises(ValueError, match="either"):
        batches_of([1.0], **limits)


def test_an_empty_corpus_is_refused():
    with pytest.raises(ValueError, match="empty"):
        batches_of([], max_cuts=2)
