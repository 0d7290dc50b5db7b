"""Checkpoints of fine-tuned models in the published form.

`llm_best.pt` and `flow_best.pt` have the weights of the best epoch, `llm_epoch_5.pt` and so on
those of every fifth (of the joint stage, `joint_llm_epoch_5.pt`): `epoch`, `model_state_dict` with
the trained weights, `optimizer_state_dict`, `scheduler_state_dict` and `val_loss`; and `config`,
the settings of the fine-tuning, which the published ones do not have.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sled.training.checkpoints.state import save_state

# Epochs between the checkpoints that are kept.
KEPT_EVERY = 5

_UNREADABLE = (
    *(OSError, EOFError, pickle.UnpicklingError),
    *(RuntimeError, LookupError, TypeError, ValueError, AttributeError),
)


class BestCheckpoints:
    """Writes the checkpoints of a model that an `EpochTrainer` trains.

    Args:
        folder: Where they are written.
        name: How their names begin.
        stage: How those of every fifth epoch begin, so that no stage overwrites another's.
        settings: Of the fine-tuning, from `read_settings`.
    """

    def __init__(self, folder: Path, name: str, stage: str, settings: Mapping[str, Any]) -> None:
        self._folder, self._name, self._stage = folder, name, stage
        self._settings = with_whole_paths(settings)

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
        """Write what is due after an epoch; see `PublishedCheckpoints.save`."""
        loss = losses["loss"]
        content = {
            "epoch": epoch,
            "model_state_dict": {
                name: one.detach().cpu()
                for name, one in model.named_parameters()
                if one.requires_grad
            },
            **states(),
            "val_loss": loss,
            "config": self._settings,
        }
        if (epoch + 1) % KEPT_EVERY == 0:
            save_state(content, self._folder / f"{self._stage}_epoch_{epoch + 1}.pt")
        best = self._folder / f"{self._name}_best.pt"
        lowest = _read(best)["val_loss"] if best.is_file() else math.nan
        if math.isnan(lowest) or loss < lowest:
            save_state(content, best)


def recorded_settings(path: Path) -> dict[str, Any]:
    """Return the settings of the fine-tuning that a checkpoint is of.

    Raises:
        ValueError: If the file cannot be read, or does not tell them.
    """
    try:
        content = _read(path)
        settings: dict[str, Any] = content.get("config") or {}
        parts = [settings["model"][name] for name in ("llm", "flow")] if settings else []
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} is no checkpoint of a fine-tuning ({reason})") from error
    if not parts:
        raise ValueError(f"{path} does not tell its configuration: name that, too")
    return settings


def with_whole_paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings whose paths of models do not depend on the working directory."""
    models = {
        name: one | ({"path": str(Path(one["path"]).absolute())} if one["path"] else {})
        for name, one in settings["model"].items()
    }
    return dict(settings) | {"model": models}


def load_finetuned(model: nn.Module, path: Path) -> None:
    """Load the weights of a checkpoint into the model that was fine-tuned, by their names.

    Args:
        model: A flow, or a `ChatLM` with adapters as in training.
        path: Such as `flow_best.pt`.

    Raises:
        ValueError: If the file cannot be read, or has weights of another model.
    """
    try:
        state = _read(path)["model_state_dict"]
        result = model.load_state_dict(state, strict=False)
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} is no checkpoint of this model ({reason})") from error
    if not state:
        raise ValueError(f"{path} is no checkpoint of this model: it has no weights")
    if result.unexpected_keys:
        raise ValueError(
            f"{path} is no checkpoint of this model: it has {result.unexpected_keys[0]}"
        )


def _read(path: Path) -> dict[str, Any]:
    # Of the states of optimisers, which are large, nothing is read from the disk.
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return content
