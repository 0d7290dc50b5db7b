"""Ends a training run in time, with a checkpoint to continue from."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import Self

# Share of the time that is reserved for writing the checkpoint and the model.
_SAVING_SHARE = 0.05


class TimeLimit(TrainerCallback):
    """Ends training after the step at which time runs out, and has a checkpoint written.

    Args:
        elapsed: Returns the seconds that have passed.
        limit_s: How many there are.
        accelerator: Synchronises the processes, so that all end after the same step.
    """

    def __init__(
        self, elapsed: Callable[[], float], limit_s: float, accelerator: Accelerator
    ) -> None:
        self._elapsed, self._limit_s = elapsed, limit_s
        self._accelerator = accelerator

    @classmethod
    def of_minutes(cls, start: float, minutes: float, accelerator: Accelerator) -> Self:
        """A limit on the time since `start`, from `time.monotonic`, saving included."""
        limit_s = 60 * minutes * (1 - _SAVING_SHARE)
        return cls(lambda: time.monotonic() - start, limit_s, accelerator)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Check the time. Called after the callbacks that decide what follows a step."""
        if self._is_over():
            control.should_training_stop = control.should_save = control.should_log = True
            control.should_evaluate = False  # no time is left for it

    def _is_over(self) -> bool:
        """Whether the time limit is reached on any process; clocks differ slightly."""
        is_over = self._elapsed() >= self._limit_s
        if self._accelerator.num_processes == 1:
            return is_over
        votes = torch.tensor(int(is_over), device=self._accelerator.device)
        return bool(self._accelerator.reduce(votes, "sum").item())
