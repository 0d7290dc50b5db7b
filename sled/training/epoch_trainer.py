"""The part of a trainer that reads a corpus of speech tokens, epoch by epoch."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from typing_extensions import override

from sled.training.agreement import NO_BATCH, take_group
from sled.training.batch_trainer import BatchTrainer
from sled.training.callbacks.progress import Progress
from sled.training.epoch_arguments import EpochTrainingArguments
from sled.training.optimizer import Adam
from sled.training.tokens.callbacks import EpochEnd, SkipBrokenUpdates
from sled.training.tokens.samples import BatchLoader, EpochCheckpoints, Start
from sled.training.tokens.schedules import make_schedule

BATCH = "batch"


class EpochTrainer(BatchTrainer):
    """Trains on batches of `sled.data.tokens`.

    An epoch ends for all processes when one of them has no batch left. The last step of an epoch
    may have fewer batches; then some of them are repeated.

    Args:
        train_loader: Training batches of this process.
        eval_loader: Evaluation batches, the same on every process.
        start: Where the run begins to count.
        published: Writes checkpoints in a published form, too. Each epoch ends with an evaluation
            and a checkpoint then.
        publishes_within: Whether it also writes those within an epoch.
        adam: The optimiser. None: that of the flags of transformers.
        unit: What speech consists of, in the plural: its rate is logged.
        **kwargs: As for `BatchTrainer`.

    Raises:
        ValueError: If weights are sharded, or there is no epoch left.
    """

    BATCH_FLAGS = (
        "gradient_accumulation_steps",
        "seed",
        "max_frames_in_batch",
        "per_device_train_batch_size",
        "shuffle_size",
        "sort_size",
    )
    args: EpochTrainingArguments

    def __init__(
        self,
        *,
        train_loader: BatchLoader,
        eval_loader: BatchLoader | None = None,
        start: Start | None = None,
        published: EpochCheckpoints | None = None,
        publishes_within: bool = False,
        adam: Adam | None = None,
        unit: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if self.shards_weights:
            raise ValueError(
                "models of speech tokens and flows are trained with all weights on each process: "
                "use DDP or ZeRO-1 or -2, not FSDP or ZeRO-3"
            )
        self.train_loader, self.eval_loader = train_loader, eval_loader
        self.start = start or Start()
        self.start.require_epochs_left(self.args.max_epochs)
        self.published, self._publishes_within, self._adam = published, publishes_within, adam
        self.eval_metrics: dict[str, float] = {}
        self._epoch, self._steps_in_epoch, self._last_length = self.start.epoch, 0, 0
        train_loader.start_epoch(self._epoch)
        model: Any = self.model
        half = torch.bfloat16 if self.args.bf16 else next(model.parameters()).dtype
        self.progress = Progress(unit, self.args.device, half)
        self.add_callback(EpochEnd(self._has_ended, self.args.max_epochs, published is not None))
        self.add_callback(SkipBrokenUpdates())

    @abstractmethod
    def take(self, raw: Mapping[str, Any]) -> Any:
        """Make what the model learns from of a batch of the loader.

        Raises:
            ValueError: If it does not fit the model.
        """

    @abstractmethod
    def counts(self, batch: Any) -> list[int]:
        """Return the numbers of a batch by whose sums over a step losses are divided."""

    @property
    @override
    def is_over(self) -> bool:
        limit = self.args.max_epochs
        return super().is_over or (limit is not None and self.epochs_completed >= limit)

    @property
    def epochs_completed(self) -> int:
        """Number of epochs before the current one, those before the run included."""
        return self._epoch

    def _has_ended(self) -> int | None:
        return self._epoch if self.is_between_epochs else None

    @property
    def is_between_epochs(self) -> bool:
        """Whether an epoch has ended, and the next one has not begun."""
        return self._steps_in_epoch == 0

    # Batches.

    @override
    def get_train_dataloader(self) -> Any:
        return self.train_loader

    @override
    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        assert self.eval_loader is not None, "there is nothing to evaluate on"
        self.eval_loader.start_epoch(0)
        # Every process has all batches, and computes a share of them.
        return islice(self.eval_loader, self.args.process_index, None, self.args.world_size)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | None]:
        """Collect the batches of a step; none at the end of an epoch, and then on all processes.

        Raises:
            ValueError: If the data of any process cannot be used, or an epoch has no batch.
            OSError: If they cannot be read.
        """

        def least(number: int) -> int:
            return int(self.accelerator.gather(torch.tensor([number], device=device)).min())

        taken = take_group(epoch_iterator, num_batches, self.take, least)
        if not taken:
            self._end_epoch()
            return [], None
        self._steps_in_epoch += 1
        taken = list(islice(cycle(taken), num_batches))
        counts = torch.tensor([self.counts(batch) for batch in taken], device=device)
        totals: Tensor = self.accelerator.reduce(counts.sum(0), "sum")
        # transformers takes inputs for dictionaries.
        return [{BATCH: batch} for batch in taken], totals

    def _end_epoch(self) -> None:
        if self._steps_in_epoch == 0:  # on all processes, whichever has no batch
            raise ValueError(NO_BATCH)
        self._last_length, self._steps_in_epoch = self._steps_in_epoch, 0
        self._epoch += 1
        self.train_loader.start_epoch(self._epoch)
        self.control.should_epoch_stop = True

    @override
    def batches_state(self) -> dict[str, Any]:
        state = self.train_loader.state_dict()
        own = torch.tensor([[state["epoch"], state["index"]]], device=self.args.device)
        positions = self.accelerator.gather(own).tolist()
        return {
            "positions": positions,
            "epoch": self._epoch,
            "steps_in_epoch": self._steps_in_epoch,
            "last_length": self._last_length,
        }

    @override
    def load_batches_state(self, state: Mapping[str, Any]) -> None:
        epoch, index = state["positions"][self.args.process_index]
        self.train_loader.load_state_dict({"epoch": epoch, "index": index})
        self._epoch, self._steps_in_epoch = state["epoch"], state["steps_in_epoch"]
        self._last_length = state["last_length"]

    @override
    def epochs_done(self) -> float:
        if not self._last_length:  # of the first epoch, the share is not known
            return self._epoch
        length = max(self._last_length, self._steps_in_epoch + 1)
        return self._epoch + self._steps_in_epoch / length

    def _prepare_inputs(self, inputs: Any) -> Any:
        return inputs  # the model moves what it reads

    # Optimiser, log and checkpoints.

    @override
    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        if self._adam is None or self.optimizer is not None:
            made: torch.optim.Optimizer = super().create_optimizer(*args, **kwargs)
            return made
        model: Any = self.model
        self.optimizer = self._adam.make(model.parameters(), self.args.learning_rate)
        return self.optimizer

    @override
    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        args = self.args
        if args.schedule is None or self.lr_scheduler is not None:
            return super().create_scheduler(num_training_steps, optimizer)
        factor = make_schedule(
            args.schedule,
            warmup_steps=int(args.warmup_steps),
            hold_steps=args.hold_steps,
            max_steps=args.max_steps,
            decay_rate=args.decay_rate,
            least=args.min_learning_rate / args.learning_rate,
        )
        first = self.start.step
        chosen: Any = optimizer or self.optimizer
        self.lr_scheduler = LambdaLR(chosen, lambda update: factor(first + update))
        self._created_lr_scheduler = True
        return self.lr_scheduler

    @override
    def report_progress(self, num_steps: int) -> dict[str, float]:
        return self.progress.report(num_steps, self.accelerator)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        began = time.perf_counter()
        super()._save_checkpoint(*args, **kwargs)
        self.progress.pause(time.perf_counter() - began)

    @override
    def write_before_checkpoint(self) -> None:
        # A run goes on from its checkpoint, so none of these is missing if it stops in between.
        model: Any = self.model  # of transformers' type
        if self.published is not None and (self.is_between_epochs or self._publishes_within):
            self.published.save(
                model,
                epoch=self._epoch - self.is_between_epochs,
                step=self.start.step + self.state.global_step,
                is_whole=self.is_between_epochs,
                learning_rate=self._get_learning_rate(),
                losses=self.eval_metrics,
                states=self._states,
            )

    def _states(self) -> dict[str, Any]:
        optimizer, scheduler = self.optimizer, self.lr_scheduler
        assert optimizer is not None and scheduler is not None, "there was no training"
        return {
            "optimizer_state_dict": optimizer.state_dict(),
            "scheduler_state_dict": scheduler.state_dict(),
        }
