"""The configuration of a fine-tuning of Step-Audio-EditX, and its stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sled.training.editx.chat import ADAPTER_TARGETS, FIRST_SPEECH, NUM_SPEECH, SYSTEM_PROMPT
from sled.training.epoch_arguments import STATE_STEPS

DEFAULTS: dict[str, dict[str, Any]] = {
    "basic": {"seed": 42, "log_interval": 50, "train_mode": "llm"},
    "data": {
        "train_data": None,
        "cv_data": None,
        "max_frames_in_batch": 2000,
        "shuffle_size": 1000,
        "sort_size": 500,
        "num_workers": 0,
    },
    "model": {"llm": None, "flow": None},
    "optim": {
        "lr_llm": 1e-4,
        "lr_flow": 1e-5,
        "weight_decay": 0.01,
        "grad_clip": 5,
        "accum_grad": 4,
        "warmup_steps": 3000,
    },
    "stage": {"stage1_epochs": 25, "stage2_epochs": 25, "stage3_epochs": 5, "joint_lr_scale": 0.1},
}
FLOW_DEFAULTS: dict[str, Any] = {"path": None}
LLM, FLOW, BOTH, JOINT = "llm", "flow", "both", "joint"
MODES = (LLM, FLOW, BOTH)
LLM_DEFAULTS: dict[str, Any] = {
    "path": None,
    "lora_r": 8,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "lora_targets": list(ADAPTER_TARGETS),
    "system_prompt": SYSTEM_PROMPT,
    "trust_remote_code": False,
    "first_speech": FIRST_SPEECH,
    "num_speech": NUM_SPEECH,
}


def read_settings(path: Path, mode: str | None = None) -> dict[str, Any]:
    """Read a configuration; unknown settings are left out.

    Args:
        path: The file.
        mode: Which models are to be trained, one of `MODES`. None: `basic.train_mode`, which is
            set to it in the result.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no configuration, or lacks a setting.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(given, dict) or not all(isinstance(one, dict) for one in given.values()):
        raise ValueError(f"{path} is no configuration: it needs the parts {', '.join(DEFAULTS)}")
    settings = {part: defaults | given.get(part, {}) for part, defaults in DEFAULTS.items()}
    models = settings["model"]
    models[LLM] = LLM_DEFAULTS | (models[LLM] or {})
    models[FLOW] = FLOW_DEFAULTS | (models[FLOW] or {})
    needed = {f"data.{name}": settings["data"][name] for name in ("train_data", "cv_data")}
    mode = settings["basic"]["train_mode"] = mode or settings["basic"]["train_mode"]
    if mode not in MODES:
        raise ValueError(f"{path}: basic.train_mode {mode!r}: choose {', '.join(MODES)}")
    trained = (LLM, FLOW) if mode == BOTH else (mode,)
    needed |= {f"model.{one}.path": models[one]["path"] for one in trained}
    for name, value in needed.items():
        if not value:
            raise ValueError(f"{path} lacks {name}: add it")
    return settings


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of training of one model.

    Attributes:
        name: Name of its folder.
        epochs: Number of epochs.
        lr_scale: Factor of the learning rate.
        after: Folder of an earlier stage whose result it begins with. None: the published model.
    """

    name: str
    epochs: int
    lr_scale: float = 1.0
    after: Path | None = None


def stage_flags(
    settings: Mapping[str, Any], output: Path, stage: Stage, learning_rate: str
) -> dict[str, Any]:
    """Return the settings of a stage as flags of `EpochTrainingArguments`.

    Args:
        settings: From `read_settings`.
        output: Folder of the fine-tuning; the stage has a folder in it.
        stage: The stage.
        learning_rate: The name of its learning rate.
    """
    data, optim, basic = settings["data"], settings["optim"], settings["basic"]
    return {
        "output_dir": str(output / stage.name),
        "max_epochs": stage.epochs,
        "learning_rate": stage.lr_scale * float(optim[learning_rate]),
        "weight_decay": float(optim["weight_decay"]),
        "max_grad_norm": optim["grad_clip"],
        "gradient_accumulation_steps": optim["accum_grad"],
        "warmup_steps": optim["warmup_steps"],
        "lr_scheduler_type": "constant_with_warmup",
        "logging_steps": basic["log_interval"],
        "seed": basic["seed"],
        "max_frames_in_batch": data["max_frames_in_batch"],
        "shuffle_size": data["shuffle_size"],
        "sort_size": data["sort_size"],
        "dataloader_num_workers": data["num_workers"],
        "dataloader_prefetch_factor": 10 if data["num_workers"] else None,
        "save_steps": STATE_STEPS,  # each epoch ends with a checkpoint, too
        "save_total_limit": 1,
        "report_to": "none",
    }
