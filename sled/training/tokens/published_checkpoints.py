"""Checkpoints in the form of CosyVoice's trainer: weights, and a record beside them.

`epoch_3_whole.pt` has the state dict of the model after epoch 3, and plain entries `epoch` and
`step`; `epoch_3_step_500.pt` one within the epoch. The record, a YAML file of the same name, has
the settings of the run and the losses of the evaluation, by which the best checkpoints are found.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from sled.files.whole import write_whole
from sled.training.checkpoints.state import save_state
from sled.training.tokens.samples import Start

INITIAL = "init"


class PublishedCheckpoints:
    """Writes checkpoints into a folder.

    Args:
        folder: The folder; it is made if need be.
        settings: Settings of the run, written into each record.
        weights: Returns the weights of the model by their published names.
        save_sizes: Writes the sizes of the model into the folder, if weights alone do not tell
            them. None: they do.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        weights: Callable[[Any], Mapping[str, Tensor]],
        save_sizes: Callable[[Any, Path], None] | None = None,
    ) -> None:
        self.folder, self._settings = folder, dict(settings)
        self._weights, self._save_sizes = weights, save_sizes

    def save_initial(self, model: nn.Module, start: Start) -> None:
        """Write `init.pt`, the weights that a run begins with, unless they are there.

        Args:
            model: The weights.
            start: Where the run begins to count.
        """
        if not (self.folder / f"{INITIAL}.yaml").is_file():
            self._write(INITIAL, model, {"epoch": start.epoch - 1, "step": start.step})

    def save(
        self,
        model: nn.Module,
        *,
        epoch: int,
        step: int,
        is_whole: bool,
        learning_rate: float,
        losses: Mapping[str, float],
        states: Callable[[], Mapping[str, Any]],
    ) -> None:
        """Write a checkpoint.

        Args:
            model: Its weights.
            epoch: Number of the epoch.
            step: Updates so far.
            is_whole: Whether the epoch is complete.
            learning_rate: That of the next update.
            losses: Results of the evaluation.
            states: Returns those of the optimiser and of the schedule, which this form leaves out.

        Raises:
            OSError: If it cannot be written.
        """
        tag = published_tag(epoch, step, is_whole)
        record = {
            "epoch": epoch,
            "step": step,
            "tag": "CV",
            "lr": learning_rate,
            "loss_dict": dict(losses),
        }
        self._write(tag, model, record)

    def _write(self, tag: str, model: nn.Module, record: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._save_sizes is not None:
            self._save_sizes(model, self.folder)
        write_published(self.folder, tag, self._weights(model), self._settings | dict(record))


def write_published(
    folder: Path, tag: str, weights: Mapping[str, Tensor], record: Mapping[str, Any]
) -> None:
    """Write weights and record; the record last, so that a record has its weights.

    Args:
        folder: The folder.
        tag: Name of the files.
        weights: The weights, by their published names.
        record: What the record holds, with `epoch` and `step`, which stand beside the weights, too.

    Raises:
        OSError: If they cannot be written.
    """
    state: dict[str, Any] = {name: one.cpu() for name, one in weights.items()}
    state |= {"epoch": record["epoch"], "step": record["step"]}
    content = dict(record) | {"save_time": datetime.now().strftime("%d/%m/%Y %H:%M:%S")}
    save_state(state, folder / f"{tag}.pt")
    text = yaml.safe_dump(content, sort_keys=True)
    write_whole(folder / f"{tag}.yaml", lambda path: path.write_text(text, encoding="utf-8"))


def published_tag(epoch: int, step: int, is_whole: bool) -> str:
    """The name of the checkpoint after an epoch, or within it."""
    return f"epoch_{epoch}_whole" if is_whole else f"epoch_{epoch}_step_{step}"


def published_start(checkpoint: Path | None) -> Start:
    """Where a checkpoint of the published trainer stopped to count, if it tells.

    Raises:
        ValueError: If the file is missing or cannot be read.
    """
    if checkpoint is None:
        return Start()
    if not checkpoint.exists():
        raise ValueError(f"no model at {checkpoint}: check --checkpoint, or leave it out")
    if checkpoint.suffix != ".pt":
        return Start()
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{checkpoint} is no state dict of tensors ({reason})") from error
    epoch, step = state.get("epoch"), state.get("step")
    return Start(epoch=0 if epoch is None else int(epoch) + 1, step=int(step or 0))
