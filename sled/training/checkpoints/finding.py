"""Checkpoints: which a run has, which are best, the mean of several, and writing a new one."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.trainer import TRAINER_STATE_NAME

from sled.files.checkpoint import CONFIG_FILE, missing_files
from sled.model.lm import SpeechLlamaForCausalLM
from sled.text.tokenizer import MERGES_FILE, VOCAB_FILE

_TOKENIZER_FILES = (VOCAB_FILE, MERGES_FILE)

# Entries of config.json that say nothing of what the weights mean, and those that the training data
# of each run has told.
_FREE_KEYS = {"dtype", "torch_dtype", "transformers_version"} | {
    "min_frames_per_token",
    "max_frames_per_token",
    "trained_frames",
}


def last_checkpoints(run: Path, count: int) -> list[Path]:
    """The newest checkpoints of a run, oldest first.

    Raises:
        ValueError: If there are not so many.
    """
    return _all_checkpoints(run, count)[-count:]


def best_checkpoints(run: Path, count: int) -> list[Path]:
    """The checkpoints of a run with the lowest evaluation loss, oldest first.

    A checkpoint between two evaluations has the loss of the nearer one.

    Raises:
        ValueError: If there are not so many, or the run was never evaluated.
    """
    checkpoints = _all_checkpoints(run, count)
    state = json.loads((checkpoints[-1] / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    losses = {e["step"]: e["eval_loss"] for e in state["log_history"] if "eval_loss" in e}
    if not losses:
        raise ValueError(f"{run} was never evaluated, so none is best: take the --last ones")

    def loss(checkpoint: Path) -> float:
        return losses[min(losses, key=lambda step: abs(step - _step(checkpoint)))]

    return sorted(sorted(checkpoints, key=loss)[:count], key=_step)


def average_checkpoints(checkpoints: Sequence[Path], output: Path) -> None:
    """Write a checkpoint whose weights are the mean, in float32, of those of several.

    Args:
        checkpoints: Folders of the same model and tokenizer, from one run or from runs that went
            on from one another; what data has told of their lengths is taken from the first.
        output: A new folder, which appears only when it is whole.

    Raises:
        ValueError: If a checkpoint is not whole, they are not alike, or the output exists.
    """
    refuse_existing(output)
    first, *others = checkpoints
    for checkpoint in checkpoints:
        check_whole(checkpoint)
    for other in others:
        _check_alike(first, other)

    model = load_float32(first)
    sums = {name: tensor.double() for name, tensor in model.state_dict().items()}
    for other in others:
        for name, tensor in load_float32(other).state_dict().items():
            sums[name] += tensor
    means: dict[str, Tensor] = {n: (s / len(checkpoints)).float() for n, s in sums.items()}
    model.load_state_dict(means)
    write_checkpoint(model, first, output)


def refuse_existing(output: Path) -> None:
    """Make sure that a folder is new.

    Raises:
        ValueError: If it is not.
    """
    if output.exists():
        raise ValueError(f"{output} is there already: name a new folder")


def check_whole(checkpoint: Path) -> None:
    """Make sure that a folder has a model and its tokenizer.

    Raises:
        ValueError: Naming what it lacks.
    """
    missing = missing_files(checkpoint)
    missing += [name for name in _TOKENIZER_FILES if not (checkpoint / name).is_file()]
    if missing:
        raise ValueError(
            f"{checkpoint} is no whole checkpoint, it lacks {', '.join(missing)}: check the path"
        )


def load_float32(checkpoint: Path) -> SpeechLlamaForCausalLM:
    """The model of a checkpoint, whatever precision it is stored in."""
    model: SpeechLlamaForCausalLM = SpeechLlamaForCausalLM.from_pretrained(
        checkpoint, dtype=torch.float32
    )
    return model


def write_checkpoint(model: SpeechLlamaForCausalLM, source: Path, output: Path) -> None:
    """Write a model with the tokenizer of a checkpoint; the folder appears when it is whole."""
    partial = output.with_name(f".partial.{output.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(partial)
    for name in _TOKENIZER_FILES:
        shutil.copy(source / name, partial / name)
    partial.replace(output)


def _all_checkpoints(run: Path, count: int) -> list[Path]:
    if count < 1:
        raise ValueError(f"{count} checkpoints: take 1 or more")
    folders = [p for p in run.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", p.name)]
    if len(folders) < count:
        raise ValueError(f"{run} has {len(folders)} checkpoints, not {count}: take fewer")
    return sorted(folders, key=_step)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _check_alike(first: Path, other: Path) -> None:
    ours, theirs = _read_config(first), _read_config(other)
    keys = sorted((ours.keys() | theirs.keys()) - _FREE_KEYS)
    different = [key for key in keys if ours.get(key) != theirs.get(key)]
    different += [
        n for n in _TOKENIZER_FILES if (first / n).read_bytes() != (other / n).read_bytes()
    ]
    if different:
        raise ValueError(
            f"{first} and {other} differ in {', '.join(different)}: average checkpoints of one "
            "model"
        )


def _read_config(checkpoint: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((checkpoint / CONFIG_FILE).read_text(encoding="utf-8"))
    return config
