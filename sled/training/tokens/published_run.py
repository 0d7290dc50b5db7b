"""What CosyVoice's command has in common for its models: from its flags to those of our trainer."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import TrainerCallback

from sled.data.tokens.options import PipelineOptions
from sled.data.tokens.samples import Tokenize
from sled.files.json_object import read_json_object
from sled.text.published_tokenizers import load_corpus_tokenizer
from sled.training.epoch_arguments import STATE_STEPS, EpochTrainingArguments
from sled.training.flow.batch import no_ids, without_text
from sled.training.tokens.callbacks import Curves, PublishedCurves
from sled.training.tokens.published_config import PublishedConfig

STATE_FOLDER = "state"

Arguments = TypeVar("Arguments", bound=EpochTrainingArguments)


def run_arguments(
    kind: type[Arguments], flags: argparse.Namespace, config: PublishedConfig, **more: Any
) -> Arguments:
    """Return the flags of a run of our trainer.

    Args:
        kind: Their class.
        flags: Those of CosyVoice's command.
        config: The configuration that they name.
        more: Further flags of the class.

    Raises:
        ValueError: If flags or configuration cannot be used.
        OSError: If the configuration of DeepSpeed cannot be read.
    """
    settings = config.training_flags() | _processes(flags)
    save_steps, pipeline = config.save_steps(), config.pipeline()
    return kind(
        output_dir=str(flags.model_dir / STATE_FOLDER),
        report_to="none",
        save_total_limit=1,
        save_strategy="steps",
        save_steps=save_steps or STATE_STEPS,
        # Each epoch ends with an evaluation, too.
        eval_strategy="steps" if save_steps else "no",
        eval_steps=save_steps,
        max_frames_in_batch=pipeline.max_frames_in_batch,
        shuffle_size=pipeline.shuffle_size,
        sort_size=pipeline.sort_size,
        **settings,
        **more,
    )


def run_record(flags: argparse.Namespace, config: PublishedConfig, part: str) -> dict[str, Any]:
    """Return the settings for the record beside each checkpoint.

    Args:
        flags: Those of CosyVoice's command.
        config: The configuration that they name.
        part: The part of it with the settings of the run.
    """
    names = {"backend": "ddp.dist_backend", "save_states": "deepspeed.save_states"}
    given = {
        names.get(name, name): str(value) if isinstance(value, Path) else value
        for name, value in vars(flags).items()
    }
    return config.training(part) | given


def corpus_reading(
    flags: argparse.Namespace, config: PublishedConfig
) -> tuple[PipelineOptions, Tokenize]:
    """Return how a corpus is read for a model that does not learn from texts.

    Without a text tokenizer, the filter counts no text tokens.

    Args:
        flags: Those of CosyVoice's command.
        config: The configuration that they name.

    Returns:
        Options of the data pipeline, and what maps a text to its tokens.

    Raises:
        ValueError: If the tokenizer cannot be loaded.
    """
    folder = flags.tokenizer or flags.qwen_pretrain_path
    if folder is None:
        return without_text(config.pipeline()), no_ids
    return config.pipeline(), load_corpus_tokenizer(Path(folder)).ids


def run_curves(flags: argparse.Namespace, args: EpochTrainingArguments) -> list[TrainerCallback]:
    """Return what writes curves; nothing on other processes than the first."""
    return [] if args.process_index else [PublishedCurves(Curves(flags.tensorboard_dir))]


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
