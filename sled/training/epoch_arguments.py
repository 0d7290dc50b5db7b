"""Flags of runs that read a corpus of speech tokens, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sled.data.tokens.options import PipelineOptions
from sled.training.run_arguments import NO_LIMIT, TrainerArguments, setting
from sled.training.tokens.schedules import SCHEDULES

STATE_STEPS = 1000
"""Steps between two states of a run whose flags do not tell when it is saved within an epoch."""


@dataclass
class EpochArguments:
    """Batches, epochs and the learning rate."""

    _argument_group_name = "batches and epochs"

    max_epochs: int | None = setting(None, "end after this many epochs, instead of max_steps")
    max_frames_in_batch: int = setting(
        2000, "mel frames of a batch, with padding; 0: per_device_train_batch_size utterances"
    )
    shuffle_size: int = setting(1000, "utterances that are shuffled together")
    sort_size: int = setting(500, "utterances that are sorted by length together")
    schedule: str | None = setting(
        None,
        f"learning rate as published: {', '.join(SCHEDULES)}; unset: lr_scheduler_type of "
        "transformers",
    )
    hold_steps: int = setting(0, "steps at the highest rate of NoamHoldAnnealing")
    decay_rate: float = setting(0.5, "exponent of the fall of NoamHoldAnnealing")
    min_learning_rate: float = setting(0.0, "least rate of NoamHoldAnnealing")


@dataclass
class EpochTrainingArguments(EpochArguments, TrainerArguments):
    """All arguments of `EpochTrainer`."""

    def __post_init__(self) -> None:
        if self.max_epochs is not None:
            if self.max_epochs < 1:
                raise ValueError(f"--max_epochs {self.max_epochs}: use 1 or more")
            self.max_steps = NO_LIMIT
        super().__post_init__()
        if self.max_frames_in_batch < 0:
            raise ValueError(f"--max_frames_in_batch {self.max_frames_in_batch}: use 0 or more")
        if self.schedule is not None and self.schedule not in SCHEDULES:
            raise ValueError(f"--schedule {self.schedule}: choose {', '.join(SCHEDULES)}")

    def batches(self, options: PipelineOptions) -> PipelineOptions:
        """Return options of the data pipeline with the batches of these flags."""
        by_frames = self.max_frames_in_batch > 0
        return replace(
            options,
            max_frames_in_batch=self.max_frames_in_batch or options.max_frames_in_batch,
            batch_size=None if by_frames else self.per_device_train_batch_size,
            shuffle_size=self.shuffle_size,
            sort_size=self.sort_size,
        )
