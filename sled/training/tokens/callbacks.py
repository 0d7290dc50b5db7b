"""What happens between the steps of the training of token models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

# Names of results of an evaluation begin so.
EVALUATION = "eval_"


class EpochEnd(TrainerCallback):
    """Ends a run after its last epoch, and asks for a checkpoint after each epoch.

    Args:
        has_ended: Returns the number of epochs that are complete, or None within an epoch.
        last: The number of epochs of the run. None: any.
        saves: Whether each epoch ends with an evaluation and a checkpoint.
    """

    def __init__(self, has_ended: Callable[[], int | None], last: int | None, saves: bool) -> None:
        self._has_ended, self._last, self._saves = has_ended, last, saves

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Act between two epochs, unless the run ended within one."""
        completed = self._has_ended()
        if completed is None:
            return
        # A run that continues after the last batch of an epoch finds no batch in it, which
        # transformers takes for the end of the data.
        control.should_training_stop = state.global_step >= args.max_steps
        if self._last is not None and completed >= self._last:
            control.should_training_stop = True
        if self._saves:
            control.should_evaluate = control.should_save = True


class SkipBrokenUpdates(TrainerCallback):
    """Leaves the weights as they are where the gradient is not finite."""

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Drop the gradients if one of them is not finite; optimisers skip what has none."""
        model: nn.Module = kwargs["model"]
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if not torch.isfinite(norm):
            model.zero_grad(set_to_none=True)


class Curves:
    """Curves for TensorBoard by their published names, `TRAIN/loss` or `CV/acc`.

    Args:
        folder: Folder of the curves; it is made with the first of them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def write(self, tag: str, values: Mapping[str, float], step: int) -> None:
        """Write the values of a step.

        Args:
            tag: `TRAIN` or `CV`.
            values: By their names.
            step: Updates so far.

        Raises:
            ValueError: If TensorBoard is not installed.
        """
        if self._writer is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise ValueError("--tensorboard_dir needs tensorboard: install it") from error
            self._writer = SummaryWriter(str(self._folder))
        for name, value in values.items():
            self._writer.add_scalar(f"{tag}/{name}", value, step)
        self._writer.flush()


class PublishedCurves(TrainerCallback):
    """Writes the log as curves.

    Args:
        curves: The curves.
    """

    def __init__(self, curves: Curves) -> None:
        self._curves = curves

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write an entry of the log."""
        if not logs:
            return
        is_evaluation = "eval_loss" in logs
        values = {}
        for name, value in logs.items():
            if is_evaluation != name.startswith(EVALUATION) and name != "epoch":
                continue
            short = name.removeprefix(EVALUATION)
            values["lr" if short == "learning_rate" else short] = value
        self._curves.write("CV" if is_evaluation else "TRAIN", values, state.global_step)
