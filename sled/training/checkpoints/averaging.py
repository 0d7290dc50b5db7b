"""Averaging of checkpoints: the newest or best ones of a run, and the mean of their weights.

The exponential moving average during training is something else, see `ema`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers.trainer import TRAINER_STATE_NAME

from sled.files.checkpoint import CONFIG_FILE
from sled.files.json_object import read_json_object
from sled.model.registry import model_family
from sled.training.checkpoints.folder import (
    check_complete,
    refuse_existing,
    tokenizer_files,
    write_checkpoint,
)

# Entries of config.json that do not affect the meaning of the weights, and those that were measured
# on the training data of each run.
_FREE_KEYS = {"dtype", "torch_dtype", "transformers_version"} | {
    "min_frames_per_token",
    "max_frames_per_token",
    "trained_frames",
    "speech_level_db",
    "leading_silence_s",
    "trailing_silence_s",
    "output_gain_db",
    "known_words",
}


def last_checkpoints(run: Path, count: int) -> list[Path]:
    """The newest checkpoints of a run, oldest first.

    Raises:
        ValueError: If there are fewer than `count`.
    """
    return _all_checkpoints(run, count)[-count:]


def best_checkpoints(run: Path, count: int) -> list[Path]:
    """The checkpoints of a run with the lowest evaluation loss, oldest first.

    A checkpoint between two evaluations has the loss of the nearer one.

    Raises:
        ValueError: If there are fewer than `count`, or the run was never evaluated.
    """
    checkpoints = _all_checkpoints(run, count)
    state = read_json_object(checkpoints[-1] / TRAINER_STATE_NAME)
    losses: dict[int, float] = {
        e["step"]: e["eval_loss"] for e in state.get("log_history", ()) if "eval_loss" in e
    }
    if not losses:
        raise ValueError(f"{run} was never evaluated, so none is best: use --last")

    def loss(checkpoint: Path) -> tuple[bool, float]:
        nearest = losses[min(losses, key=lambda step: abs(step - _step(checkpoint)))]
        return math.isnan(nearest), nearest  # one that is not a number is the worst

    return sorted(sorted(checkpoints, key=loss)[:count], key=_step)


def average_checkpoints(checkpoints: Sequence[Path], output: Path) -> None:
    """Write a checkpoint whose weights are the mean, in float32, of those of several checkpoints.

    Args:
        checkpoints: Folders of the same model and tokenizer, of one run or of runs that were
            fine-tuned from one another. Measured lengths of speech are those of the first.
        output: A new folder; it appears when it is complete.

    Raises:
        ValueError: If a checkpoint is incomplete, they are not of the same model, or the output
            exists.
    """
    refuse_existing(output)
    first, *others = checkpoints
    for checkpoint in checkpoints:
        check_complete(checkpoint)
    for other in others:
        _check_alike(first, other)

    load_model = model_family(first).load_model
    model = load_model(first, torch.float32)
    sums = {name: tensor.double() for name, tensor in model.state_dict().items()}
    for other in others:
        for name, tensor in load_model(other, torch.float32).state_dict().items():
            sums[name] += tensor
    means: dict[str, Tensor] = {n: (s / len(checkpoints)).float() for n, s in sums.items()}
    model.load_state_dict(means)
    write_checkpoint(model, first, output)


def _all_checkpoints(run: Path, count: int) -> list[Path]:
    if count < 1:
        raise ValueError(f"{count} checkpoints: use 1 or more")
    folders = [p for p in run.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", p.name)]
    if len(folders) < count:
        raise ValueError(f"{run} has {len(folders)} checkpoints, not {count}: use fewer")
    return sorted(folders, key=_step)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _check_alike(first: Path, other: Path) -> None:
    ours, theirs = (read_json_object(folder / CONFIG_FILE) for folder in (first, other))
    keys = sorted((ours.keys() | theirs.keys()) - _FREE_KEYS)
    different = [key for key in keys if ours.get(key) != theirs.get(key)]
    different += [n for n in tokenizer_files(first) if not _is_same_file(first / n, other / n)]
    if different:
        raise ValueError(
            f"{first} and {other} differ in {', '.join(different)}: average checkpoints of one "
            "model"
        )


def _is_same_file(first: Path, other: Path) -> bool:
    return other.is_file() and first.read_bytes() == other.read_bytes()
