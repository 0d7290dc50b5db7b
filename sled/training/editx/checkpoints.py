"""Checkpoints of fine-tuned models in the published form.

`llm_best.pt` and `flow_best.pt` have the weights of the best epoch, `llm_epoch_5.pt` and so on
those of every fifth (of the joint stage, `joint_llm_epoch_5.pt`): `epoch`, `model_state_dict` with
the trained weights, and `val_loss`.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sled.training.editx.chat import ChatLM

# Epochs between the checkpoints that are kept.
KEPT_EVERY = 5


class BestCheckpoints:
    """Writes the checkpoints of a model.

    Args:
        folder: Where they are written.
        name: How their names begin.
        stage: How those of every fifth epoch begin, so that no stage overwrites another's.
    """

    def __init__(self, folder: Path, name: str, stage: str) -> None:
        self._folder, self._name, self._stage = folder, name, stage

    def write(self, trained: Mapping[str, Tensor], epoch: int, loss: float) -> None:
        """Write what is due after an epoch.

        Args:
            trained: The weights that are trained, by name.
            epoch: Number of the epoch, from 0.
            loss: Of the evaluation.
        """
        state = {name: one.detach().cpu() for name, one in trained.items()}
        content = {"epoch": epoch, "model_state_dict": state, "val_loss": loss}
        if (epoch + 1) % KEPT_EVERY == 0:
            _write(content, self._folder / f"{self._stage}_epoch_{epoch + 1}.pt")
        best = self._folder / f"{self._name}_best.pt"
        if not best.is_file() or loss < torch.load(best, weights_only=True)["val_loss"]:
            _write(content, best)


class ChatCheckpoints:
    """Writes the checkpoints of a language model that `TokenTrainer` trains.

    Args:
        folder: Where they are written.
        stage: See `BestCheckpoints`.
    """

    def __init__(self, folder: Path, stage: str) -> None:
        self._checkpoints = BestCheckpoints(folder, "llm", stage)

    def save(
        self,
        model: Any,
        *,
        epoch: int,
        step: int,
        is_whole: bool,
        learning_rate: float,
        losses: Mapping[str, float],
    ) -> None:
        """Write what is due after an epoch; see `PublishedCheckpoints.save`."""
        assert isinstance(model, ChatLM)
        self._checkpoints.write(model.trained_state(), epoch, losses["loss"])


def load_finetuned(model: nn.Module, path: Path) -> None:
    """Load the weights of a checkpoint into the model that was fine-tuned, by their names.

    Args:
        model: A flow, or a `ChatLM` with adapters as in training.
        path: Such as `flow_best.pt`.

    Raises:
        ValueError: If the file cannot be read, or has weights of another model.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["model_state_dict"]
        result = model.load_state_dict(state, strict=False)
    except (
        *(OSError, EOFError, pickle.UnpicklingError),
        *(RuntimeError, LookupError, TypeError, ValueError, AttributeError),
    ) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} is no checkpoint of this model ({reason})") from error
    if not state:
        raise ValueError(f"{path} is no checkpoint of this model: it has no weights")
    if result.unexpected_keys:
        raise ValueError(
            f"{path} is no checkpoint of this model: it has {result.unexpected_keys[0]}"
        )


def _write(content: Mapping[str, Any], path: Path) -> None:
    partial = path.with_name(f".{path.name}.part")
    torch.save(dict(content), partial)
    os.replace(partial, path)
