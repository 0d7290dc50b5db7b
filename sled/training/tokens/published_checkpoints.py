"""Checkpoints in the form of CosyVoice's trainer: weights, and a record beside them.

`epoch_3_whole.pt` has the state dict of the model after epoch 3, and plain entries `epoch` and
`step`; `epoch_3_step_500.pt` one within the epoch. The record, a YAML file of the same name, has
the settings of the run and the losses of the evaluation, by which the best checkpoints are found.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
import yaml

from sled.model.tokens.files import published_state, save_token_config
from sled.model.tokens.lm import TokenLM

INITIAL = "init"


class PublishedCheckpoints:
    """Writes checkpoints into a folder.

    Args:
        folder: The folder; it is made if need be.
        settings: Settings of the run, written into each record.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder, self._settings = folder, dict(settings)

    def save_initial(self, model: TokenLM) -> None:
        """Write `init.pt`, the weights that a run begins with, unless they are there."""
        if not (self.folder / f"{INITIAL}.yaml").is_file():
            self._write(INITIAL, model, {"epoch": -1, "step": 0})

    def save(
        self,
        model: TokenLM,
        *,
        epoch: int,
        step: int,
        is_whole: bool,
        learning_rate: float,
        losses: Mapping[str, float],
    ) -> None:
        """Write a checkpoint.

        Args:
            model: Its weights.
            epoch: Number of the epoch.
            step: Updates so far.
            is_whole: Whether the epoch is complete.
            learning_rate: That of the next update.
            losses: Results of the evaluation.

        Raises:
            OSError: If it cannot be written.
        """
        tag = f"epoch_{epoch}_whole" if is_whole else f"epoch_{epoch}_step_{step}"
        record = {
            "epoch": epoch,
            "step": step,
            "tag": "CV",
            "lr": learning_rate,
            "loss_dict": dict(losses),
        }
        self._write(tag, model, record)

    def _write(self, tag: str, model: TokenLM, record: Mapping[str, Any]) -> None:
        """Write weights and record; the record last, so that a record has its weights."""
        self.folder.mkdir(parents=True, exist_ok=True)
        save_token_config(model, self.folder)
        state: dict[str, Any] = {n: one.cpu() for n, one in published_state(model).items()}
        state |= {"epoch": record["epoch"], "step": record["step"]}
        saved = datetime.now().strftime("%d/%m/%Y %H:%M:%S")
        content = self._settings | dict(record) | {"save_time": saved}
        partial = self.folder / f".{tag}.part"
        torch.save(state, partial)
        os.replace(partial, self.folder / f"{tag}.pt")
        partial.write_text(yaml.safe_dump(content, sort_keys=True), encoding="utf-8")
        os.replace(partial, self.folder / f"{tag}.yaml")
