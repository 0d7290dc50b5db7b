"""Checkpoints that are whole or not there: written aside, and named only when nothing is missing.

    output_dir/.partial/           what is being written, or what a killed run left of it
    output_dir/checkpoint-2000/    all that is needed to continue at step 2,000
    output_dir/model.safetensors   and the files beside it: the trained model; of these
    output_dir/trainer_state.json  comes last and says that the rest is there

So a process may be killed at any time.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, rotate_checkpoints

STAGING = ".partial"


class WholeCheckpointTrainer(Trainer):
    """transformers' Trainer, which writes under the final name while it goes, made safe to kill."""

    _staging: Path | None = None

    def complete_checkpoint(self, checkpoint: Path) -> None:
        """Add to a checkpoint what transformers does not know of, before it gets its name."""

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """A new folder in `output_dir` to write to, and what it is left with is removed.

        Raises:
            OSError: If writing fails, in any of the ways in which libraries say so.
        """
        output_dir = Path(self.args.output_dir)
        staging = output_dir / STAGING
        if self.args.should_save:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        try:
            yield staging
        except (OSError, RuntimeError, SafetensorError) as error:
            if str(error).startswith("DataLoader worker"):  # dies at any time, by a signal
                raise
            raise OSError(
                f"step {self.state.global_step} could not be saved in {output_dir} ({error}): make "
                "room and start the same command again; what was saved before is untouched"
            ) from error
        finally:
            if self.args.should_save:  # what is left of a failure may be what fills the disk
                shutil.rmtree(staging, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging or super()._get_output_dir(trial))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint, and then remove those that are too many.

        Raises:
            ValueError: If a weight is not a number any more; nothing is written then.
            OSError: If it cannot be written; the checkpoints before it are untouched.
        """
        self._refuse_broken_weights()
        output_dir = Path(self.args.output_dir)
        with self.staged() as staging:
            self._staging = staging
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self._staging = None
            # transformers has looked for the best checkpoint where this one is being written.
            best = output_dir / f"{PREFIX_CHECKPOINT_DIR}-{self.state.best_global_step}"
            if self.state.best_global_step == self.state.global_step or best.is_dir():
                self.state.best_model_checkpoint = str(best)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                checkpoint = staging / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
                self.state.save_to_json(str(checkpoint / TRAINER_STATE_NAME))
                self.complete_checkpoint(checkpoint)
                publish_folder(checkpoint, output_dir / checkpoint.name)
        if self.args.should_save:
            rotate_checkpoints(
                output_dir=str(output_dir),
                save_total_limit=self.args.save_total_limit,
                best_model_checkpoint=self.state.best_model_checkpoint,
                use_mtime=True,
            )

    def _load_from_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        with warnings.catch_warnings():
            # transformers reads config.json as that of no model in particular, and wonders.
            warnings.simplefilter("ignore", FutureWarning)
            super()._load_from_checkpoint(*args, **kwargs)

    def _refuse_broken_weights(self) -> None:
        own = (p.to_local() if isinstance(p, DTensor) else p for p in self.model.parameters())
        num_broken = sum(int(not p.isfinite().all()) for p in own)
        if self.accelerator.reduce(torch.tensor(num_broken, device=self.args.device), "sum"):
            raise ValueError(
                f"weights are not finite at step {self.state.global_step}: continue from the last "
                "checkpoint (start the same command again) with a lower --learning_rate"
            )


class CurrentIntervals(TrainerCallback):
    """Lets a continued run log, evaluate and save as often as its flags say now."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Undo what transformers takes from the checkpoint."""
        state.compute_steps(args, state.max_steps)


def publish_folder(staged: Path, target: Path) -> None:
    """Give a folder its final name, in the place of any that has it."""
    _flush(staged)
    shutil.rmtree(target, ignore_errors=True)
    staged.replace(target)


def publish_model(staged: Path, output_dir: Path) -> None:
    """Move all that makes up a trained model to where it belongs, the trainer's state last."""
    _flush(staged)
    for path in sorted(staged.iterdir(), key=lambda path: path.name == TRAINER_STATE_NAME):
        if path.is_dir():
            shutil.rmtree(output_dir / path.name, ignore_errors=True)
        path.replace(output_dir / path.name)


def finished_steps(output_dir: Path) -> int:
    """Steps after which the trained model in a run's folder was saved; 0 if there is none."""
    state = output_dir / TRAINER_STATE_NAME
    return TrainerState.load_from_json(str(state)).global_step if state.is_file() else 0


def _flush(folder: Path) -> None:
    """Have a folder on the disk itself: a machine may go down right after it is renamed."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError:
            if path.is_file():  # not every file system can flush folders
                raise
        finally:
            os.close(descriptor)
