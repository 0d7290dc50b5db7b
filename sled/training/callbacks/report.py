"""Shows how far a run is: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm
from transformers import (
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from sled.training.run_arguments import NO_LIMIT

if TYPE_CHECKING:
    from sled.training.batch_trainer import BatchTrainer

logger = logging.getLogger(__name__)

# Of all that is logged, what is shown, and how.
_SHOWN = {
    "loss": "loss {:.3f}",
    "eval_loss": "evaluation loss {:.3f}",
    "eval_text_gap": "text gap {:.3f}",
    "frames_per_second": "{:.0f} frames a second",
    "acc": "accuracy {:.3f}",
    "tokens_per_second": "{:.0f} tokens a second",
}


class RunReport(TrainerCallback):
    """Logs a line for each log entry and evaluation, with the time left; a bar on a terminal.

    Args:
        is_terminal: Whether there is a terminal that shows a bar.
        share_done: Returns the share of the run that is done.
    """

    def __init__(self, is_terminal: bool, share_done: Callable[[], float]) -> None:
        self._is_terminal = is_terminal
        self._share_done = share_done
        self._bar: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start to measure time."""
        self._first, self._start = state.global_step, time.monotonic()
        self._first_share = self._share_done()
        if self._is_terminal:
            self._redirect = logging_redirect_tqdm([logging.getLogger()])
            self._redirect.__enter__()
            self._bar = tqdm(total=state.max_steps, initial=self._first, desc="train", unit="step")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Advance the bar."""
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show an entry."""
        shown = [text.format(logs[key]) for key, text in _SHOWN.items() if logs and key in logs]
        if not shown or not state.is_world_process_zero:
            return
        of_all = f" of {state.max_steps}" if state.max_steps < NO_LIMIT else ""
        place = f"step {state.global_step}{of_all}, epoch {state.epoch or 0:.2f}"
        left = self._time_left()
        logger.info("%s: %s", place, ", ".join([*shown, *([f"{left} left"] if left else [])]))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            self._redirect.__exit__(None, None, None)

    def _time_left(self) -> str:
        share = self._share_done()
        if not self._first_share < share < 1:
            return ""
        seconds = time.monotonic() - self._start
        interval: str = tqdm.format_interval(seconds / (share - self._first_share) * (1 - share))
        return interval


def show_progress(trainer: BatchTrainer) -> None:
    """Show the progress of a run in the place of transformers' own callbacks."""
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    if trainer.is_world_process_zero():
        is_terminal = sys.stderr.isatty() and not trainer.args.disable_tqdm
        trainer.add_callback(RunReport(is_terminal, lambda: trainer.share_done))
