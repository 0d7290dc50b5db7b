"""Checkpoints that are complete or absent, so that a process may be killed at any time.

output_dir/.partial/           being written, or left over by a killed run
output_dir/checkpoint-2000/    all that is needed to continue at step 2,000
output_dir/model.safetensors   and the files beside it: the trained model; of these
output_dir/trainer_state.json  is written last and marks the model as complete
"""

from __future__ import annotations

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
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, rotate_checkpoints

from sled.files.whole import flush

STAGING = ".partial"
# The position in the batches.
BATCHES_FILE = "batches.json"


class WholeCheckpointTrainer(Trainer):
    """transformers' Trainer with atomic checkpoints; the original writes under the final name."""

    _staging: Path | None = None

    @property
    def output_dir(self) -> Path:
        """Folder of the run."""
        assert self.args.output_dir is not None  # transformers sets a default
        return Path(self.args.output_dir)

    @property
    def shards_weights(self) -> bool:
        """Whether no process has all of the weights, as under FSDP and ZeRO-3."""
        is_zero3: bool = is_deepspeed_zero3_enabled()  # type: ignore[no-untyped-call]
        return bool(self.is_fsdp_enabled) or is_zero3

    def complete_checkpoint(self, checkpoint: Path) -> None:
        """Add the files that transformers does not write, before the checkpoint gets its name."""

    def write_before_checkpoint(self) -> None:
        """Write other files at the same step, before the checkpoint; on one process only."""

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """A new folder in `output_dir` to write to; it is removed afterwards.

        Raises:
            OSError: If writing fails; libraries report it by errors of several types.
        """
        output_dir = self.output_dir
        staging = output_dir / STAGING
        if self.args.should_save:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        try:
            yield staging
        except (OSError, RuntimeError, SafetensorError) as error:
            if str(error).startswith("DataLoader worker"):  # unrelated: a worker was killed
                raise
            raise OSError(
                f"step {self.state.global_step} could not be saved in {output_dir} ({error}): free "
                "space and start the same command again; earlier checkpoints are untouched"
            ) from error
        finally:
            if self.args.should_save:  # a failed checkpoint may be what fills the disk
                shutil.rmtree(staging, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the model, also if DeepSpeed was not started because nothing was left to train."""
        if not self.is_deepspeed_enabled or self.deepspeed is not None:
            super().save_model(output_dir, _internal_call)
        elif self.args.should_save:
            self._save(output_dir)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging or super()._get_output_dir(trial))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint, then remove the oldest ones beyond the limit.

        Raises:
            ValueError: If a weight is not finite; nothing is written then.
            OSError: If it cannot be written; earlier checkpoints are untouched.
        """
        self._refuse_broken_weights()  # on all processes: it waits for all of them
        if self.args.should_save:
            self.write_before_checkpoint()
        output_dir = self.output_dir
        with self.staged() as staging:
            self._staging = staging
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self._staging = None
            # transformers looked for the best checkpoint in the staging folder.
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
            # transformers reads config.json as a generic configuration, and warns.
            warnings.simplefilter("ignore", FutureWarning)
            super()._load_from_checkpoint(*args, **kwargs)

    def _refuse_broken_weights(self) -> None:
        assert self.model is not None
        own = (p.to_local() if isinstance(p, DTensor) else p for p in self.model.parameters())
        num_broken = sum(int(not p.isfinite().all()) for p in own)
        if self.accelerator.reduce(torch.tensor(num_broken, device=self.args.device), "sum"):
            raise ValueError(
                f"weights are not finite at step {self.state.global_step}: continue from the last "
                "checkpoint (start the same command again) with a lower --learning_rate"
            )


class CurrentIntervals(TrainerCallback):
    """Makes a continued run log, evaluate and save at the intervals of its current flags."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Replace the intervals that transformers took from the checkpoint."""
        state.compute_steps(args, state.max_steps)  # type: ignore[no-untyped-call]


def publish_folder(staged: Path, target: Path) -> None:
    """Rename a folder to its final name, replacing an existing one.

    The existing folder is moved beside the staged one, and removed together with its folder later.
    Removing it here would take seconds, and a kill meanwhile would leave no folder of this name.
    """
    _flush(staged)
    replaced = staged.with_name(f"replaced-{target.name}")
    if target.exists():
        target.replace(replaced)
    staged.replace(target)


def publish_model(staged: Path, output_dir: Path) -> None:
    """Move the files of a trained model to their place, the state of the trainer last."""
    _flush(staged)
    for path in sorted(staged.iterdir(), key=lambda path: path.name == TRAINER_STATE_NAME):
        if path.is_dir():
            shutil.rmtree(output_dir / path.name, ignore_errors=True)
        path.replace(output_dir / path.name)


def finished_steps(output_dir: Path) -> int:
    """Steps after which the trained model in a run's folder was saved. 0: there is none."""
    state = output_dir / TRAINER_STATE_NAME
    try:
        return TrainerState.load_from_json(str(state)).global_step if state.is_file() else 0
    except (ValueError, TypeError):  # damaged
        return 0


def _flush(folder: Path) -> None:
    """Flush a folder to the disk, because the machine may crash right after the rename."""
    for path in [*folder.rglob("*"), folder]:
        try:
            flush(path)
        except OSError:
            if path.is_file():  # some file systems cannot flush folders
                raise
