"""Ends a training run in time, with a checkpoint to continue from."""

from __future__ import annotations

import time
from typing import Any

import torch
from accelerate import Accelerator
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

# Share of the time that is reserved for writing the checkpoint and the model.
_SAVING_SHARE = 0.05


class TimeLimit(TrainerCallback):
    """Ends training after the step at which time runs out, and has a checkpoint written.

    Args:
        start: When the time started to count, from `time.monotonic`.
        minutes: The time, saving included.
        accelerator: Synchronises the processes, so that all end after the same step.
    """

    def __init__(self, start: float, minutes: float, accelerator: Accelerator) -> None:
        self._deadline = start + 60 * minutes * (1 - _SAVING_SHARE)
        self._accelerator = accelerator

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
        is_over = time.monotonic() >= self._deadline
        if self._accelerator.num_processes == 1:
            return is_over
        votes = torch.tensor(int(is_over), device=self._accelerator.device)
        return bool(self._accelerator.reduce(votes, "sum").item())
