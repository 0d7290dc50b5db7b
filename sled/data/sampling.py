"""Which cuts make up which training batch: Lhotse's dynamic bucketing, epoch after epoch.

Invariants: the order depends on the seed, the epoch and the corpus alone, so every process of a
distributed run derives it by itself and takes its share; within an epoch each cut comes once, but
for a few at its end, which come twice where there is not one left for each process; and an
iteration can start at any batch, which is how a resumed run goes on exactly where it stopped.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random
from typing import Any

from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.dataset import DynamicBucketingSampler
from lhotse.dataset.sampling.base import SamplingConstraint
from lhotse.dataset.sampling.dynamic_bucketing import estimate_duration_buckets
from lhotse.utils import streaming_shuffle

MAX_BUCKETS = 30
# Fewer would leave many partial batches at an epoch's end.
MIN_BATCHES_PER_BUCKET = 4
NUM_CUTS_FOR_BUCKETS = 10_000
SHUFFLED = 1_000  # steps at a time


class DurationLimit(SamplingConstraint):
    """Ends a batch before it is too long; lhotse's own ends it with the cut that is too much.

    Args:
        max_duration_s: Seconds per batch.
        quadratic_duration_s: A cut of d seconds counts as d + d^2 / this. None: as d.
        bounds: The longest cut of each bucket, in seconds.
        padded: Whether a cut counts as any other of its bucket may, or for itself.
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
        """Begin a new batch."""
        self._num_cuts, self._longest_s, self._sum_s = 0, 0.0, 0.0

    def add(self, example: Cut) -> None:
        """Count a cut."""
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
        """With so many more cuts of the largest kind."""
        if self.padded:
            return (self._num_cuts + more) * self._longest_s
        return self._sum_s + more * self._cost_s(self.bounds[-1])

    def close_to_exceeding(self) -> bool:
        """Whether another cut of the bucket might be too much."""
        return self._total_s(more=1) > self.max_duration_s

    def measure_length(self, example: Cut) -> float:
        """What buckets go by."""
        return example.duration


class SpeechBatches:
    """Batches of cuts of like length, as a `batch_sampler` for a DataLoader over a dataset of cuts.

    Args:
        open_epoch: Gives the corpus in an order of its own for each epoch.
        max_cuts: Cuts per batch, at most.
        max_duration_s: Seconds per batch, at most, as far as the first cuts tell how long they can
            be; a longer cut is a batch by itself. By length, padding counts too.
        quadratic_duration_s: Makes long cuts count for more, as attention does: a cut of d seconds
            counts as d + d^2 / quadratic_duration_s. None: as d.
        by_length: Batch cuts of like length together; otherwise as they come.
        per_step: Batches of a training step, which stay together when the order is shuffled: then
            a step holds the same however it is divided among processes.
        seed: Of the order.
        rank, world_size: This process's share: batch `rank` of every `world_size`.
    """

    def __init__(
        self,
        open_epoch: Callable[[int], CutSet],
        *,
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
        self._share = {"rank": rank, "world_size": world_size}
        first = list(islice(open_epoch(0), NUM_CUTS_FOR_BUCKETS))
        if not first:
            raise ValueError("the corpus is empty: there is nothing to make batches of")
        num_batches = (
            len(first) / max_cuts
            if max_cuts
            else sum(cut.duration for cut in first) / (max_duration_s or 1.0)
        )
        num_buckets = min(MAX_BUCKETS, int(num_batches / MIN_BATCHES_PER_BUCKET), len(first))
        # In seconds; in small corpora there are but a few buckets.
        borders = estimate_duration_buckets(first, num_buckets) if num_buckets > 1 else []
        self.duration_bins = borders if by_length else []
        self._limit: dict[str, Any] = {"max_cuts": max_cuts}
        if max_duration_s is not None:
            bounds = [*self.duration_bins, max(cut.duration for cut in first)]
            limit = DurationLimit(max_duration_s, quadratic_duration_s, bounds, padded=by_length)
            self._limit = {"constraint": limit}

    def epoch(self, epoch: int) -> Iterator[list[Cut]]:
        """The batches of one epoch."""
        with warnings.catch_warnings():
            # Small corpora are read whole, which is fine; and their batches may exceed a bucket.
            warnings.simplefilter("ignore", UserWarning)
            sampler = DynamicBucketingSampler(
                self.open_epoch(epoch),
                duration_bins=self.duration_bins or [float("inf")],  # one bucket
                shuffle=True,
                seed=self.seed + epoch,
                **self._limit,
                **self._share,
            )
            batches = (batch for batch in sampler)  # once at its end it stays there
            steps = iter(lambda: list(islice(batches, self.per_step)), [])
            # Buckets take their turns in the same order in every epoch, whatever the seed. All
            # processes shuffle alike, so they still work on like lengths at a time.
            steps = streaming_shuffle(steps, SHUFFLED, Random(self.seed + epoch))
        while True:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                step = next(steps, None)
            if step is None:
                return
            yield from map(list, step)


class TrainingBatches:
    """Epoch after epoch of `SpeechBatches`, without end, from any batch on.

    Attributes:
        epoch_lengths: Batches in each epoch that has been run through so far; with their help a
            position that counts batches from the start of training is found again.
        start: Batches to leave out.
    """

    def __init__(self, batches: SpeechBatches) -> None:
        self.batches = batches
        self.epoch_lengths: list[int] = []
        self.start = 0

    def locate(self, position: int) -> tuple[int, int]:
        """Epoch, and batch within it, of a position; the epochs before must be known."""
        for epoch, length in enumerate(self.epoch_lengths):
            if position < length:
                return epoch, position
            position -= length
        return len(self.epoch_lengths), position

    def epochs_at(self, position: int) -> float:
        """Epochs done at a position; a guess within the first, whose length is not known yet."""
        epoch, offset = self.locate(position)
        lengths = self.epoch_lengths[epoch:] or self.epoch_lengths[-1:]
        return epoch + (offset / lengths[0] if lengths else 0.0)

    def __iter__(self) -> Iterator[list[Cut]]:
        epoch, skip = self.locate(self.start)
        while True:
            count = 0
            for batch in self.batches.epoch(epoch):
                count += 1
                if count > skip:
                    yield batch
            if epoch == len(self.epoch_lengths):
                self.epoch_lengths.append(count)
            epoch, skip = epoch + 1, 0
