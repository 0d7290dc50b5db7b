"""CosyVoice's training command: its flags and configuration, as a run of ours.

The folder `--model_dir` gets checkpoints in the published form after each epoch, and every
`save_per_step` updates; the folder `state` in it has what continues an interrupted run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from sled.training.flow.published import train_published_flow
from sled.training.tokens.arguments import (
    TokenDataArguments,
    TokenModelArguments,
    TokenTrainingArguments,
)
from sled.training.tokens.published_checkpoints import published_start
from sled.training.tokens.published_config import NETWORK, PublishedConfig
from sled.training.tokens.published_run import run_arguments, run_curves, run_record
from sled.training.tokens.run import run_tokens
from sled.training.tokens.setup import FAMILIES, PublishedForm
from sled.training.vocoder.published import train_published_vocoder

ENGINES = ("torch_ddp", "deepspeed")
LANGUAGE_MODEL, FLOW, VOCODERS = "llm", "flow", ("hift", "hifigan")


def make_published_parser(description: str | None = None) -> argparse.ArgumentParser:
    """The parser of the published flags, with their defaults."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    add = parser.add_argument
    add("--train_engine", default="torch_ddp", choices=ENGINES, help="how processes cooperate")
    add(
        "--model",
        required=True,
        choices=(LANGUAGE_MODEL, FLOW, *VOCODERS),
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
        help="how processes exchange gradients; with gloo, vocoders are trained on CPUs",
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
    _check(flags)
    if flags.model == FLOW:
        return train_published_flow(flags)
    if flags.model != LANGUAGE_MODEL:
        return train_published_vocoder(flags)
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
    args = run_arguments(TokenTrainingArguments, flags, config, **config.language_model_flags())
    form = PublishedForm(
        folder=flags.model_dir,
        record=run_record(flags, config, NETWORK),
        start=published_start(flags.checkpoint),
        config=config,
    )
    run_tokens((model, data, args), form, run_curves(flags, args))
    return Path(flags.model_dir)


def _check(flags: argparse.Namespace) -> None:
    """Raise ValueError for flags that another model needs, or that are missing."""
    name = flags.model
    if flags.teacher is not None and name != FLOW:
        raise ValueError(f"--teacher is for --model {FLOW}, not {name}: leave it out")
    if name == LANGUAGE_MODEL:
        if flags.dpo and flags.ref_model is None:
            raise ValueError("--dpo needs --ref_model: name the model that training starts from")
        return
    if flags.dpo or flags.ref_model is not None:
        raise ValueError(f"--dpo and --ref_model are for --model llm, not {name}: leave them out")
    if flags.checkpoint is None or not flags.checkpoint.exists():
        raise ValueError(
            f"--checkpoint {flags.checkpoint}: --model {name} begins with weights, which tell its "
            "sizes: name flow.pt or hift.pt, or a folder of ours"
        )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
