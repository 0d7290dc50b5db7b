"""Training batches: Lhotse's dynamic bucketing, epoch after epoch.

Invariants:
- The order depends only on the seed, the epoch and the corpus, so every process of a distributed
  run computes it alone and takes its own share.
- Within an epoch each cut is used once. A few cuts at the end of the epoch are used twice if
  otherwise some process would get no batch.
- Iteration can start at any batch, so a resumed run continues exactly where it stopped.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from random import Random
from typing import Any

from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.dataset import DynamicBucketingSampler
from lhotse.dataset.sampling.base import SamplingConstraint
from lhotse.dataset.sampling.dynamic_bucketing import estimate_duration_buckets
from lhotse.utils import streaming_shuffle

from sled.files.progress import track

MAX_BUCKETS = 30
# With fewer batches per bucket, many batches at the end of an epoch would be partial.
MIN_BATCHES_PER_BUCKET = 4
NUM_CUTS_FOR_BUCKETS = 10_000
# Training steps that are shuffled together.
SHUFFLE_BUFFER_STEPS = 1_000


class DurationLimit(SamplingConstraint):  # type: ignore[misc]  # Lhotse ships no types
    """Closes a batch before it exceeds a duration; Lhotse's own limit closes it one cut later.

    Args:
        max_duration_s: Seconds per batch.
        quadratic_duration_s: A cut of d seconds counts as d + d^2 / this. None: as d.
        bounds: Duration of the longest cut of each bucket, in seconds.
        padded: Whether each cut counts as the longest cut of its batch, or only as itself.
    """

    def __init__(
        self,
        max_duration_s: float,
        quadratic_duration_s: float | None,
        bounds: Sequence[float],
        padded: bool,
    ) -> None:
        self.max_duration_s, self.bounds, self.padded = max_duration_s, bounds, padded
        self.quadratic_duration_s = quadratic_duration_s or float("inf")
        self.reset()

    def reset(self) -> None:
        """Start a new batch."""
        self._num_cuts, self._longest_s, self._sum_s = 0, 0.0, 0.0

    def add(self, example: Cut) -> None:
        """Add a cut to the batch."""
        bucket = min(bisect_left(self.bounds, example.duration), len(self.bounds) - 1)
        duration = max(example.duration, self.bounds[bucket])
        self._longest_s = max(self._longest_s, self._cost_s(duration))
        self._sum_s += self._cost_s(example.duration)
        self._num_cuts += 1

    def _cost_s(self, duration: float) -> float:
        return duration + duration**2 / self.quadratic_duration_s

    def exceeded(self) -> bool:
        """Whether the batch is too long."""
        return self._total_s(more=0) > self.max_duration_s

    def _total_s(self, more: int) -> float:
        """Duration of the batch with `more` additional cuts of the longest kind."""
        if self.padded:
            return (self._num_cuts + more) * self._longest_s
        return self._sum_s + more * self._cost_s(self.bounds[-1])

    def close_to_exceeding(self) -> bool:
        """Whether another cut of the bucket might exceed the limit."""
        return self._total_s(more=1) > self.max_duration_s

    def measure_length(self, example: Cut) -> float:
        """Duration by which cuts are sorted into buckets."""
        return float(example.duration)


class SpeechBatches:
    """Batches of cuts of similar length: a `batch_sampler` for a DataLoader over a dataset of cuts.

    Args:
        open_epoch: Opens the corpus in the order of an epoch.
        num_cuts: Counts the cuts of the corpus, each once even if it is endless.
        max_cuts: Largest number of cuts per batch.
        max_duration_s: Largest duration of a batch in seconds, estimated from the first cuts of the
            corpus; a longer cut is a batch of its own. With `by_length`, padding counts too.
        quadratic_duration_s: Count a cut of d seconds as d + d^2 / quadratic_duration_s, because
            the cost of attention is quadratic. None: as d.
        by_length: Batch cuts of similar length together. Otherwise use the order of the corpus.
        per_step: Batches per training step. They stay together when the order is shuffled, so a
            step holds the same cuts for any number of processes.
        seed: Seed of the order.
        rank: Number of this process; it gets batch `rank` of every `world_size` batches.
        world_size: Number of processes.

    Raises:
        ValueError: If not exactly one of `max_cuts` and `max_duration_s` is given, or the corpus is
            empty.
    """

    def __init__(
        self,
        open_epoch: Callable[[int], CutSet],
        *,
        num_cuts: Callable[[], int] | None = None,
        max_cuts: int | None = None,
        max_duration_s: float | None = None,
        quadratic_duration_s: float | None = None,
        by_length: bool = True,
        per_step: int = 1,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if (max_cuts is None) == (max_duration_s is None):
            raise ValueError("limit a batch either by its cuts or by its duration")
        self.open_epoch, self.per_step, self.seed = open_epoch, per_step, seed
        self._count_cuts = num_cuts
        self._share = {"rank": rank, "world_size": world_size}
        self._first = first = list(islice(open_epoch(0), NUM_CUTS_FOR_BUCKETS))
        if not first:
            raise ValueError("the corpus is empty: prepare it again")
        num_batches = (
            len(first) / max_cuts
            if max_cuts
            else sum(cut.duration for cut in first) / (max_duration_s or 1.0)
        )
        num_buckets = min(MAX_BUCKETS, int(num_batches / MIN_BATCHES_PER_BUCKET), len(first))
        # In seconds; a small corpus has only a few buckets.
        borders = estimate_duration_buckets(first, num_buckets) if num_buckets > 1 else []
        self.duration_bins = borders if by_length else []
        self._limit: dict[str, Any] = {"max_cuts": max_cuts}
        if max_duration_s is not None:
            bounds = [*self.duration_bins, max(cut.duration for cut in first)]
            limit = DurationLimit(max_duration_s, quadratic_duration_s, bounds, padded=by_length)
            self._limit = {"constraint": limit}

    def epoch(self, epoch: int) -> Iterator[list[Cut]]:
        """Yield the batches of one epoch."""
        return self._batches(self.open_epoch(epoch), epoch)

    @cached_property
    def first_length(self) -> float:
        """Number of batches of the first epoch; for a corpus over 10,000 cuts, an estimate."""
        num_batches = sum(1 for _ in self._batches(CutSet.from_cuts(self._first), 0))
        if len(self._first) < NUM_CUTS_FOR_BUCKETS or self._count_cuts is None:
            return num_batches
        return num_batches * max(1.0, self._count_cuts() / len(self._first))

    def _batches(self, cuts: CutSet, epoch: int) -> Iterator[list[Cut]]:
        """Yield the batches of these cuts, in the order of an epoch."""
        with warnings.catch_warnings():
            # Lhotse warns that small corpora fit in its buffer, and exceed a bucket.
            warnings.simplefilter("ignore", UserWarning)
            sampler = DynamicBucketingSampler(
                cuts,
                duration_bins=self.duration_bins or [float("inf")],  # one bucket
                shuffle=True,
                seed=self.seed + epoch,
                **self._limit,
                **self._share,
            )
            batches = (batch for batch in sampler)  # a generator, which cannot restart
            steps = iter(lambda: list(islice(batches, self.per_step)), [])
            # Lhotse visits the buckets in the same order in every epoch. All processes shuffle
            # alike, so they still work on similar lengths at the same time.
            steps = streaming_shuffle(steps, SHUFFLE_BUFFER_STEPS, Random(self.seed + epoch))
        while True:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                step = next(steps, None)
            if step is None:
                return
            yield from map(list, step)


class TrainingBatches:
    """An endless iteration over the epochs of `SpeechBatches`, which can start at any batch.

    Args:
        batches: The batches of this process.

    Attributes:
        epoch_lengths: Number of batches of each completed epoch. They translate a count of batches
            since the start of training into an epoch and a batch in it.
        start: Number of batches to skip.
    """

    def __init__(self, batches: SpeechBatches) -> None:
        self.batches = batches
        self.epoch_lengths: list[int] = []
        self.start = 0

    def locate(self, position: int) -> tuple[int, int]:
        """Epoch and batch in it of a position; all earlier epochs must be known."""
        for epoch, length in enumerate(self.epoch_lengths):
            if position < length:
                return epoch, position
            position -= length
        return len(self.epoch_lengths), position

    def epochs_at(self, position: int) -> float:
        """Number of epochs at a position; of an epoch that is not complete, an estimate."""
        epoch, offset = self.locate(position)
        lengths = self.epoch_lengths[epoch:] or self.epoch_lengths[-1:]
        length = lengths[0] if lengths else self.batches.first_length
        return epoch + offset / length

    def __iter__(self) -> Iterator[list[Cut]]:
        epoch, skip = self.locate(self.start)
        while True:
            batches = self.batches.epoch(epoch)
            count = _pass_over(batches, skip)
            for batch in batches:
                count += 1
                yield batch
            if epoch == len(self.epoch_lengths):
                self.epoch_lengths.append(count)
            epoch, skip = epoch + 1, 0


def _pass_over(batches: Iterator[list[Cut]], skip: int) -> int:
    """Draw the first batches of an epoch again, which were trained on; returns their number.

    Which ones they were depends on all that came before, so this reads the corpus up to there.
    """
    if not skip:
        return 0
    count = 0
    for _ in track(islice(batches, skip), "finding the place", "batch", skip):
        count += 1
    return count
