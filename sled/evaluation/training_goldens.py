"""Agreement of the training of token models with recordings: preferences, rates, averages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sled.evaluation.cases import CaseResult
from sled.training.tokens.average import best_published, mean_published
from sled.training.tokens.preference import Preference, preference_loss
from sled.training.tokens.schedules import make_schedule

Tensors = dict[str, Tensor]
Case = dict[str, Any]


def _check_preference_loss(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    chosen, rejected, *reference = tensors["logps"]
    for settings, values in case["values"].items():
        beta, smoothing, squared = (one.split("=")[1] for one in settings.split(","))
        preference = Preference(float(beta), float(smoothing), squared == str(True))
        ours = preference_loss(preference, (chosen, rejected), (reference[0], reference[1]))
        result.compare(f"loss, {settings}", ours.loss.mean(), torch.tensor(values["loss"]))
        for name in ("chosen_reward", "rejected_reward"):
            result.compare(f"{name}, {settings}", getattr(ours, name), torch.tensor(values[name]))
    return True


def _check_schedules(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    steps = case["warmup_steps"]
    for name in ("warmuplr", "constantlr"):
        factor = make_schedule(name, warmup_steps=steps)
        rate = case["base_lr"] if name == "warmuplr" else case[name][0]
        ours = [rate * factor(update) for update, _ in zip(case["step"], case[name], strict=False)]
        result.compare(name, torch.tensor(ours), torch.tensor(case[name]))
    # A checkpoint after 700 updates counts them from 0, and one more was done.
    continued = case["base_lr"] * make_schedule("warmuplr", warmup_steps=steps)(700 + 1)
    result.compare(
        "continued", torch.tensor(continued), torch.tensor(case["after_set_step_700_and_one_step"])
    )
    return True


def _check_average(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    checkpoints = best_published(folder / "average", case["num"])
    epochs = [int(path.stem.split("_")[1]) for path in checkpoints]
    result.require("chosen epochs", epochs == case["chosen_epochs"])
    means = mean_published(checkpoints)
    result.require("names", means.keys() == tensors.keys())
    for name, theirs in tensors.items():
        result.require("types", means[name].dtype == theirs.dtype)
        result.compare(name, means[name], theirs)
    return True


TRAINING_CHECKS: dict[str, Callable[[CaseResult, Case, Tensors, Path], bool]] = {
    "dpo_loss": _check_preference_loss,
    "schedulers": _check_schedules,
    "average": _check_average,
}
"""Checks by the name of a case; each returns whether it was run."""
