"""The data pipeline: from Parquet files to batches, in an order that one number can resume.

The files of an epoch are shuffled and shared by the processes of a run. A process reads its files,
leaves out rows outside the limits, shuffles the others in a buffer, sorts buffers by length, and
joins neighbours to batches. All this depends only on the seed, the epoch and the lengths of rows.
So every data worker knows all batches of its process, and makes every n-th: the batches are the
same for any number of workers, and a run resumes at any batch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from sled.data.tokens.batches import Pitch, make_batch
from sled.data.tokens.options import PipelineOptions
from sled.data.tokens.samples import Sample, SampleMaker, Tally, Tokenize

logger = logging.getLogger(__name__)

# In a batch: its epoch, its number in the epoch, and what was left out until then, in words.
EPOCH, INDEX, LEFT_OUT = "epoch", "index", "left_out"
# A share of the utterances that is worth a warning.
_MUCH = 0.05


def share_files(
    files: Sequence[Path], epoch: int, rank: int, world_size: int, shuffle: bool = True
) -> list[Path]:
    """Choose the files of one process in one epoch.

    If there are fewer files than processes, files are given to several, so that none has nothing.

    Raises:
        ValueError: If there are no files.
    """
    if not files:
        raise ValueError("there are no Parquet files to share: name a data.list with files")
    order = list(files)
    if shuffle:
        Random(epoch).shuffle(order)
    if len(order) < world_size:
        order = (order * ceil(world_size / len(order)))[:world_size]
    return order[rank::world_size]


def share_lost(num_files: int, world_size: int) -> float:
    """Share of the files that are not read to the end, as an epoch ends with the shortest share."""
    if num_files < world_size:  # each process reads one
        return 0.0
    return num_files % world_size / num_files


def shuffle_samples(
    samples: Iterable[Sample], size: int, random: Random, keep_half: bool
) -> Iterator[Sample]:
    """Shuffle samples in a buffer. When it is full, half of it is passed on, or all."""
    buffer: list[Sample] = []
    passed = max(1, size // 2) if keep_half else size
    for sample in samples:
        buffer.append(sample)
        if len(buffer) >= size:
            random.shuffle(buffer)
            yield from buffer[:passed]
            buffer = buffer[passed:]
    random.shuffle(buffer)
    yield from buffer


def sort_samples(samples: Iterable[Sample], size: int) -> Iterator[Sample]:
    """Sort samples by their frames, a buffer at a time."""
    buffer: list[Sample] = []
    for sample in samples:
        buffer.append(sample)
        if len(buffer) >= size:
            yield from sorted(buffer, key=_frames)
            buffer = []
    yield from sorted(buffer, key=_frames)


def join_samples(samples: Iterable[Sample], options: PipelineOptions) -> Iterator[list[Sample]]:
    """Join neighbours to batches, by frames with padding or by number."""
    batch: list[Sample] = []
    longest = 0
    for sample in samples:
        longest = max(longest, sample.num_frames)
        if options.batch_size is not None:
            full = len(batch) == options.batch_size
        else:
            full = longest * (len(batch) + 1) > options.max_frames_in_batch
        if batch and full:
            yield batch
            batch, longest = [], sample.num_frames
        batch.append(sample)
    if batch:
        yield batch


def _frames(sample: Sample) -> int:
    return sample.num_frames


class TokenBatches(IterableDataset[dict[str, Any]]):
    """The batches of one process, for a `TokenLoader`.

    Each batch has its `epoch`, its `index` in the epoch, and in `left_out` what was left out until
    then, beside what `make_batch` tells.

    Args:
        files: The Parquet files of the corpus.
        tokenize: Maps a text to its tokens.
        options: The options.
        rank: Number of this process.
        world_size: Number of processes.
        training: Whether files and rows are shuffled and files shared. Otherwise every process
            reads everything in stored order.
        endless: Whether an epoch follows the other, so that no process ends before another.
        seed: Seed of the shuffling.
        pitch: Computes the pitch of truncated recordings.

    Attributes:
        epoch: The epoch that the next iteration begins in.
        start: Its first batch.
        tally: What was left out of the newest epoch, as far as it was read in this process; data
            workers keep their own.
    """

    def __init__(
        self,
        files: Sequence[Path],
        tokenize: Tokenize,
        options: PipelineOptions,
        *,
        rank: int = 0,
        world_size: int = 1,
        training: bool = True,
        endless: bool = False,
        seed: int = 0,
        pitch: Pitch | None = None,
    ) -> None:
        self.files, self.options = list(files), options
        self.epoch, self.start, self.tally = 0, 0, Tally()
        self._tokenize, self._pitch, self._seed = tokenize, pitch, seed
        self._rank, self._world_size = rank, world_size
        self._training, self._endless = training, endless
        lost = share_lost(len(self.files), world_size)
        if training and not endless and rank == 0 and lost > _MUCH:
            logger.warning(
                "%d files are shared by %d processes, and an epoch ends with the smallest share: "
                "about %.0f %% of the utterances are left out of each epoch; pack the corpus to "
                "more files (a lower --num_utts_per_parquet), or to a multiple of the processes",
                len(self.files),
                world_size,
                100 * lost,
            )

    @property
    def tells(self) -> bool:
        """Whether this process tells what was left out: of what all read, only the first does."""
        return self._training or self._rank == 0

    @property
    def place(self) -> str:
        """What this process reads, for messages."""
        if not self._training:
            return "evaluation data"
        of_all = self._world_size == 1
        return "training data" if of_all else f"training data of process {self._rank}"

    def resume_after(self, epoch: int, index: int) -> None:
        """Let the next iteration begin with the batch that follows one."""
        self.epoch, self.start = epoch, index + 1

    def plan(self, epoch: int) -> Iterator[list[Sample]]:
        """Yield the samples of each batch of an epoch, not decoded."""
        return self.plan_with(epoch, Random(f"{self._seed}/{epoch}/{self._rank}"))

    def plan_with(self, epoch: int, random: Random) -> Iterator[list[Sample]]:
        """Yield the samples of each batch of an epoch, with a given source of random numbers."""
        files, options = self._files_of(epoch), self.options
        maker = SampleMaker(self._tokenize, options, random)
        self.tally = maker.tally
        samples = maker.read(files)
        if self._training:
            samples = shuffle_samples(samples, options.shuffle_size, random, options.keep_half)
        return join_samples(sort_samples(samples, options.sort_size), options)

    def _files_of(self, epoch: int) -> list[Path]:
        if not self._training:
            return self.files
        return share_files(self.files, epoch, self._rank, self._world_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the batches.

        Raises:
            ValueError: If no row of an epoch can be used, or one is bad and is to stop the run.
        """
        info = get_worker_info()
        worker, num_workers = (0, 1) if info is None else (info.id, info.num_workers)
        epoch, start = self.epoch, self.start
        while True:
            planned = 0
            for index, samples in enumerate(self.plan(epoch)):
                planned += 1
                if index < start or (index - start) % num_workers != worker:
                    continue
                batch = make_batch(samples, self.options, self._pitch)
                left_out = self.tally.describe()
                yield batch | {EPOCH: epoch, INDEX: index, LEFT_OUT: left_out}
            if not planned:
                why = self.tally.describe() or "they hold none"
                raise ValueError(
                    f"no row of {len(self._files_of(epoch))} Parquet files can be used: {why}"
                )
            if not self._endless:
                return
            # Workers go on in turn where the epoch ended.
            worker = (worker - max(0, planned - start)) % num_workers
            epoch, start = epoch + 1, 0


class TokenLoader:
    """Iterates over batches that data workers make, and knows where it is.

    At the end of the first epoch it logs what was left out.

    Args:
        batches: The batches.
        num_workers: Processes that make batches. 0: this one.
        prefetch: Batches that each of them makes ahead.
        pin_memory: Whether tensors are put where a GPU can copy them from at once.

    Attributes:
        batches: The batches.
        loader: The loader of PyTorch.
    """

    def __init__(
        self,
        batches: TokenBatches,
        num_workers: int = 0,
        prefetch: int = 100,
        pin_memory: bool = False,
    ) -> None:
        self.batches = batches
        self.loader: DataLoader[dict[str, Any]] = DataLoader(
            batches,
            batch_size=None,
            num_workers=num_workers,
            prefetch_factor=prefetch if num_workers else None,
            pin_memory=pin_memory,
            # A loader draws the seed of its workers; it must not use the generator of training.
            generator=torch.Generator(),
        )
        self._newest = (batches.epoch, batches.start - 1)
        self._told = not batches.tells

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.batches.resume_after(*self._newest)
        epoch, left_out = self._newest[0], ""
        try:
            for batch in self.loader:
                if batch[EPOCH] != epoch:
                    self._tell(left_out)
                epoch, left_out = batch[EPOCH], batch.pop(LEFT_OUT)
                self._newest = (epoch, batch[INDEX])
                if batch["utts"]:
                    yield batch
        finally:  # also if another process ends the epoch earlier
            self._tell(left_out)

    def _tell(self, left_out: str) -> None:
        if left_out and not self._told:
            logger.warning("left out of the %s: %s", self.batches.place, left_out)
            self._told = True

    def start_epoch(self, epoch: int) -> None:
        """Let the next iteration begin with an epoch."""
        self._newest = (epoch, -1)

    def state_dict(self) -> dict[str, int]:
        """Return where the iteration is: the newest batch that it gave."""
        return dict(zip((EPOCH, INDEX), self._newest, strict=True))

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Let the next iteration begin after the newest batch of another one.

        The corpus, the options, the seed and the number of processes must be the same; the number
        of data workers need not.
        """
        self._newest = (state[EPOCH], state[INDEX])
