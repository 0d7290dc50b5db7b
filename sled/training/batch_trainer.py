"""The part of a trainer that does not depend on the model: batches, checkpoints, continuation."""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from typing_extensions import override

from sled.training.agreement import decided_by_first
from sled.training.callbacks.time_limit import TimeLimit
from sled.training.checkpoints.ema import WeightEma
from sled.training.checkpoints.lora import unwrap
from sled.training.checkpoints.saving import BATCHES_FILE, CurrentIntervals, WholeCheckpointTrainer
from sled.training.clock import training_seconds
from sled.training.run_arguments import NO_LIMIT, TrainerArguments
from sled.training.workers import explained_worker_errors

FLAGS_FILE = "training_flags.json"
EVAL_NOISE_SEED = 20_130


class BatchTrainer(WholeCheckpointTrainer):
    """Trains on batches that are the share of this process, in an order that can be continued.

    A run that continues from a checkpoint computes what it would have computed without the
    interruption.

    Args:
        flags: All flags of the run, written beside its weights.
        **kwargs: As for `transformers.Trainer`.

    Attributes:
        BATCH_FLAGS: Flags that, with the corpus and the number of processes, decide the contents
            of each batch.
        ema: Moving average of the weights. None: no average.
    """

    BATCH_FLAGS: ClassVar[tuple[str, ...]]
    args: TrainerArguments

    def __init__(self, *, flags: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.flags = flags
        # compute_loss divides by the items of the whole step, so transformers must not divide.
        self.model_accepts_loss_kwargs = True
        # `seek` sets the position of the batches.
        self.args.ignore_data_skip = True
        self._last_logged = 0
        self.add_callback(CurrentIntervals())
        self.ema: WeightEma | None = None
        model: Any = self.model  # of transformers' type, or peft's wrapper around it
        if self.args.ema_decay or unwrap(model) is not model:
            self._require_whole_weights()
        if self.args.ema_decay:
            self.ema = WeightEma(model, self.args.ema_decay)
            self.add_callback(self.ema)
        self._trained_before_s, self._began_s = 0.0, training_seconds(self.args.device)
        if self.args.training_minutes is not None:
            limit_s = 60 * self.args.training_minutes
            self.add_callback(TimeLimit(lambda: self.trained_s, limit_s, self.accelerator))

    @property
    def trained_s(self) -> float:
        """Seconds of training of the whole run so far, see `sled.training.clock`."""
        return self._trained_before_s + training_seconds(self.args.device) - self._began_s

    @property
    def share_done(self) -> float:
        """Share of the steps that have been taken, or of the time for training that is up.

        Of a run without a number of steps, 0.
        """
        limit, minutes = self.args.max_steps, self.args.training_minutes
        share = 0.0 if limit >= NO_LIMIT else self.state.global_step / limit
        return share if minutes is None else max(share, self.trained_s / (60 * minutes))

    @property
    def is_over(self) -> bool:
        """Whether all steps have been taken, or all of the time for training is up."""
        return self.share_done >= 1

    def _require_whole_weights(self) -> None:
        if self.shards_weights:
            raise ValueError(
                "--ema_decay and --lora_rank need all weights on each process: leave them out "
                "under FSDP and ZeRO-3 (sled average averages checkpoints afterwards)"
            )

    @override
    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        if self.is_fsdp_enabled:
            # Autocast is used, as without sharding: the mixed precision of FSDP would round all
            # inputs and outputs of the model, including the target units and the loss.
            self.accelerator.state.fsdp_plugin.mixed_precision_policy = None

    def run(self, checkpoint: Path | None) -> None:
        """Train up to the last step, from a checkpoint if there is one.

        Raises:
            ValueError: If the loss is not finite, a sample cannot be read, or a data worker dies.
            OSError: If a checkpoint cannot be written.
        """
        self._began_s = training_seconds(self.args.device)
        if checkpoint is not None:
            self.seek(checkpoint)
            if decided_by_first(lambda: self.is_over):  # clocks differ slightly
                # The run was stopped between the last step and saving the trained model.
                self._load_from_checkpoint(str(checkpoint))
                return
        if self.args.should_save:
            self.write_flags(self.output_dir)
        try:
            with explained_worker_errors():
                self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        finally:
            torch.set_flush_denormal(False)  # each step enabled it

    @override
    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        # Gradients of inactive neurons are below the normal range of float32, where CPUs are many
        # times slower. Set at each step, because ONNX Runtime, which normalisation may use, unsets
        # it.
        torch.set_flush_denormal(True)
        return super().training_step(*args, **kwargs)

    # Where the batches are.

    @abstractmethod
    def batches_state(self) -> dict[str, Any]:
        """Return the position in the batches, for JSON; called on all processes."""

    @abstractmethod
    def load_batches_state(self, state: Mapping[str, Any]) -> None:
        """Let training begin at the position that another run was at."""

    @abstractmethod
    def epochs_done(self) -> float:
        """Return the number of epochs at the position; of the current one, the share if known."""

    # The log.

    @abstractmethod
    def report_progress(self, num_steps: int) -> dict[str, float]:
        """Return losses and speed of the steps since the last log entry."""

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the parts of the loss, the speed, and the epoch.

        Raises:
            ValueError: If the loss is not finite.
        """
        self.state.epoch = self.epochs_done()
        if "loss" in logs:
            num_steps = self.state.global_step - self._last_logged
            self._last_logged = self.state.global_step
            logs |= self.report_progress(num_steps)
            if not math.isfinite(logs["loss"]):
                raise ValueError(
                    f"the loss is {logs['loss']} at step {self.state.global_step}: continue from "
                    "the last checkpoint (start the same command again) with a lower "
                    "--learning_rate or --max_grad_norm"
                )
        super().log(logs, *args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate the averaged weights, if there are any, else the model itself."""
        with nullcontext() if self.ema is None else self.ema.applied():
            return super().evaluate(*args, **kwargs)

    # Checkpoints.

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        self._saved_position = self.batches_state()  # of all processes, but only one writes
        super()._save_checkpoint(*args, **kwargs)

    def complete_checkpoint(self, checkpoint: Path) -> None:
        """Add the position in the batches, the flags of the run, and the averaged weights."""
        batches = self._saved_position | {
            "decided_by": self._batch_settings(),
            "trained_s": self.trained_s,
        }
        (checkpoint / BATCHES_FILE).write_text(json.dumps(batches) + "\n", encoding="utf-8")
        self.write_flags(checkpoint)
        if self.ema is not None:
            self.ema.save(checkpoint)

    def write_flags(self, folder: Path) -> None:
        """Write `training_flags.json`, the flags of the run."""
        text = json.dumps(self.flags, indent=2) + "\n"
        (folder / FLAGS_FILE).write_text(text, encoding="utf-8")

    def seek(self, checkpoint: Path) -> None:
        """Continue the batches and the moving average of weights from a checkpoint.

        Raises:
            ValueError: If the flags make other batches of the corpus than those of the checkpoint.
        """
        self.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        batches = json.loads((checkpoint / BATCHES_FILE).read_text(encoding="utf-8"))
        differences = [
            f"{name} {value}, not {now}"
            for name, now in self._batch_settings().items()
            if (value := batches["decided_by"].get(name)) != now
        ]
        if differences:
            raise ValueError(
                f"{checkpoint} was written with {', '.join(differences)}, which makes other "
                "batches: continue it as it was started, or start a new run from its weights with "
                f"--finetune_path {checkpoint} and another --output"
            )
        self.load_batches_state(batches)
        # Checkpoints of earlier versions do not tell it.
        self._trained_before_s = batches.get("trained_s", 0.0)
        self._last_logged = self.state.global_step
        if self.ema is not None:
            self.ema.load(checkpoint)

    def _batch_settings(self) -> dict[str, Any]:
        """The settings that decide which samples are in which batch of which process."""
        return {"processes": self.args.world_size} | {
            f"--{flag}": getattr(self.args, flag) for flag in self.BATCH_FLAGS
        }
