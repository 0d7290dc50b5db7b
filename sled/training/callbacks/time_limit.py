"""A run that ends in time, with a checkpoint to go on from, before something else ends it."""

from __future__ import annotations

import time
from typing import Any

import torch
from accelerate import Accelerator
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

# Of the time that is given, so much is kept for writing the checkpoint and the model.
_SAVING_SHARE = 0.05


class TimeLimit(TrainerCallback):
    """Ends training after the step in which time gets short, and has a checkpoint written.

    Args:
        start: When time began to count, as `time.monotonic` tells it.
        minutes: How much of it there is, saving included.
        accelerator: Through which all processes end after the same step.
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
        """Look at the clock; called after those who decide what a step is followed by."""
        if self._is_over():
            control.should_training_stop = control.should_save = control.should_log = True
            control.should_evaluate = False  # there is no time for it

    def _is_over(self) -> bool:
        """Whether any process finds so: clocks differ a little."""
        is_over = time.monotonic() >= self._deadline
        if self._accelerator.num_processes == 1:
            return is_over
        votes = torch.tensor(int(is_over), device=self._accelerator.device)
        return bool(self._accelerator.reduce(votes, "sum").item())
