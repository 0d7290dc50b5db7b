"""CosyVoice's training command: its flags and configuration, as a run of ours.

The folder `--model_dir` gets checkpoints in the published form after each epoch, and every
`save_per_step` updates; the folder `state` in it has what continues an interrupted run.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from sled.files.json_object import read_json_object
from sled.training.published_networks import train_published_networks
from sled.training.tokens.arguments import (
    TokenDataArguments,
    TokenModelArguments,
    TokenTrainingArguments,
)
from sled.training.tokens.callbacks import Curves, PublishedCurves
from sled.training.tokens.published_checkpoints import published_start
from sled.training.tokens.published_config import PublishedConfig
from sled.training.tokens.run import run_tokens
from sled.training.tokens.setup import FAMILIES, PublishedForm

STATE_FOLDER = "state"
ENGINES = ("torch_ddp", "deepspeed")
LANGUAGE_MODEL, OTHER_MODELS = "llm", ("flow", "hift", "hifigan")


def make_published_parser(description: str | None = None) -> argparse.ArgumentParser:
    """The parser of the published flags, with their defaults."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    add = parser.add_argument
    add("--train_engine", default="torch_ddp", choices=ENGINES, help="how processes cooperate")
    add(
        "--model",
        required=True,
        choices=(LANGUAGE_MODEL, *OTHER_MODELS),
        help="which model of the configuration is trained",
    )
    add("--config", required=True, type=Path, help="configuration in HyperPyYAML")
    add("--train_data", required=True, type=Path, help="data.list of the training corpus")
    add("--cv_data", required=True, type=Path, help="data.list of the evaluation corpus")
    add("--qwen_pretrain_path", type=Path, help="folder of the Qwen2 model and its tokenizer")
    add("--tokenizer", type=Path, help="folder of another text tokenizer; not a published flag")
    add("--onnx_path", help="accepted, without effect: corpora hold their speech tokens")
    add("--checkpoint", type=Path, help="weights to start from, such as llm.pt")
    add("--model_dir", required=True, type=Path, help="folder of the checkpoints")
    add("--tensorboard_dir", default="tensorboard", type=Path, help="folder of the curves")
    add(
        "--ddp.dist_backend",
        dest="backend",
        default="nccl",
        choices=("nccl", "gloo"),
        help="how processes exchange gradients; with gloo, flows and vocoders are trained on CPUs",
    )
    add("--num_workers", type=int, default=0, help="processes that read data")
    add("--prefetch", type=int, default=100, help="batches that each of them prepares")
    add("--pin_memory", action="store_true", help="put batches where a GPU can copy them at once")
    add("--use_amp", action="store_true", help="compute in bfloat16 where that is safe")
    add("--dpo", action="store_true", help="learn preferences, compared with --ref_model")
    add("--ref_model", type=Path, help="the model that preferences are compared with")
    add(
        "--teacher",
        type=Path,
        help="flow whose solutions are learned instead of recordings, so that fewer steps suffice "
        "(reflow); not a published flag",
    )
    states = ("model_only", "model+optimizer")
    add("--deepspeed.save_states", dest="save_states", default=states[0], choices=states)
    add("--timeout", type=int, default=60, help="accepted, without effect")
    add("--deepspeed_config", type=Path, help="settings of --train_engine deepspeed, in JSON")
    return parser


def train_published(argv: Sequence[str] | None = None, description: str | None = None) -> Path:
    """Train as a command of CosyVoice says.

    Args:
        argv: Its flags. None: those of the process.
        description: For --help.

    Returns:
        The folder of the checkpoints.

    Raises:
        ValueError: If flags, configuration or data cannot be used.
        OSError: If something cannot be read or written.
    """
    flags = make_published_parser(description).parse_args(argv)
    if flags.model != LANGUAGE_MODEL:
        return train_published_networks(flags, _given(flags))
    if flags.teacher is not None:
        raise ValueError("--teacher is for --model flow: leave it out")
    if flags.dpo and flags.ref_model is None:
        raise ValueError("--dpo needs --ref_model: name the model that training starts from")
    config = PublishedConfig.load(flags.config, flags.qwen_pretrain_path)
    [family] = [name for name, kind in FAMILIES.items() if kind == config.kind]
    model = TokenModelArguments(
        family=family,
        finetune_path=_text(flags.checkpoint),
        config=str(flags.config),
        pretrained_text_model=None if flags.checkpoint else _text(flags.qwen_pretrain_path),
        ref_model=_text(flags.ref_model) if flags.dpo else None,
    )
    data = TokenDataArguments(
        train_manifest=[str(flags.train_data)],
        eval_manifest=[str(flags.cv_data)],
        tokenizer=_text(flags.tokenizer or flags.qwen_pretrain_path),
    )
    settings = config.training_flags() | _processes(flags)
    save_steps = config.save_steps()
    if save_steps is not None:
        every = {"save_strategy": "steps", "eval_strategy": "steps"}
        settings |= every | {"save_steps": save_steps, "eval_steps": save_steps}
    else:
        settings |= {"save_strategy": "no", "eval_strategy": "no"}  # each epoch ends with both
    args = TokenTrainingArguments(
        output_dir=str(flags.model_dir / STATE_FOLDER),
        report_to="none",
        save_total_limit=1,
        **settings,
    )
    form = PublishedForm(
        folder=flags.model_dir,
        record=config.training() | _given(flags),
        start=published_start(flags.checkpoint),
        config=config,
    )
    curves: list[TrainerCallback] = []
    if args.process_index == 0:
        curves.append(PublishedCurves(Curves(flags.tensorboard_dir)))
    run_tokens((model, data, args), form, curves)
    return Path(flags.model_dir)


def _processes(flags: argparse.Namespace) -> dict[str, Any]:
    """How processes compute and cooperate, as flags of transformers."""
    on_cpu = flags.backend == "gloo" and not torch.cuda.is_available()
    settings: dict[str, Any] = {
        "bf16": flags.use_amp,
        "use_cpu": on_cpu,
        "dataloader_num_workers": flags.num_workers,
        "dataloader_prefetch_factor": flags.prefetch if flags.num_workers else None,
        "dataloader_pin_memory": flags.pin_memory,
    }
    if "WORLD_SIZE" in os.environ:
        settings["ddp_backend"] = flags.backend
    if flags.train_engine == "deepspeed":
        if flags.deepspeed_config is None:
            raise ValueError("--train_engine deepspeed needs --deepspeed_config")
        settings |= _deepspeed(read_json_object(flags.deepspeed_config))
        settings["deepspeed"] = str(flags.deepspeed_config)
    return settings


def _deepspeed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that a configuration of DeepSpeed decides, as flags of transformers."""
    names = {
        "train_micro_batch_size_per_gpu": "per_device_train_batch_size",
        "gradient_accumulation_steps": "gradient_accumulation_steps",
        "gradient_clipping": "max_grad_norm",
        "steps_per_print": "logging_steps",
    }
    optimizer = (config.get("optimizer") or {}).get("params") or {}
    of_optimizer = {
        "lr": "learning_rate",
        "weight_decay": "weight_decay",
        "eps": "adam_epsilon",
    }
    found = {flag: config[name] for name, flag in names.items() if name in config}
    found |= {flag: optimizer[name] for name, flag in of_optimizer.items() if name in optimizer}
    if "betas" in optimizer:
        found["adam_beta1"], found["adam_beta2"] = optimizer["betas"]
    return {flag: value for flag, value in found.items() if value != "auto"}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _given(flags: argparse.Namespace) -> dict[str, Any]:
    """The flags by their published names, as plain values for a record."""
    names = {"backend": "ddp.dist_backend", "save_states": "deepspeed.save_states"}
    return {
        names.get(name, name): str(value) if isinstance(value, Path) else value
        for name, value in vars(flags).items()
    }
