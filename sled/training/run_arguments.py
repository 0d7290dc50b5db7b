"""Flags that all training runs have, whatever they train."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn, TypeVar

import torch
from transformers import HfArgumentParser, TrainingArguments
from transformers.trainer_utils import IntervalStrategy
from typing_extensions import override

from sled.training.short_help import FlagFormatter, add_help_flags

Flags = TypeVar("Flags")

# Steps of a run that ends after a number of epochs.
NO_LIMIT = 2**31 - 1


def setting(default: Any, text: str) -> Any:
    """Return the field of a flag, with its help."""
    return field(default=default, metadata={"help": text})


def list_setting(text: str) -> Any:
    """Return the field of a flag that takes any number of values."""
    return field(default_factory=list, metadata={"help": text})


@dataclass
class RunArguments:
    """Flags of a run that transformers does not have."""

    _argument_group_name = "run"

    model_dtype: str = setting(
        "float32", "type of weights and optimiser state: float32, or bfloat16 to halve their memory"
    )
    ema_decay: float = setting(
        0.0,
        "decay of an exponential moving average of the weights (about 1 / (1 - this) steps), which "
        "is evaluated and becomes the final model; 0: none",
    )
    max_minutes: float | None = setting(
        None,
        "end after this many minutes, saving included; the same command continues the run",
    )
    training_minutes: float | None = setting(
        None,
        "end the whole run, with its interruptions, after this many minutes of training; on a "
        "processor, of its time, so that pauses and other work on it do not count",
    )
    overwrite_output_dir: bool = setting(
        False,
        "accepted for the published commands, without effect: a run in output_dir is continued",
    )


@dataclass
class TransformersArguments(TrainingArguments):
    """Flags of transformers, with defaults that suit this model."""

    _argument_group_name = "training, flags of transformers"

    output_dir: str | None = field(
        default=None,
        metadata={
            "help": "folder of the run and of the trained model",
            "aliases": ["--output", "-o"],
        },
    )
    max_steps: int = setting(100_000, "optimiser steps of the whole run")
    logging_steps: float | None = setting(  # type: ignore[assignment]
        None, "steps between log entries; unset: 20 entries a run, and at least every 500 steps"
    )
    # Batches are not columns of a data set named like the arguments of `forward`.
    remove_unused_columns: bool = setting(False, "leave at False: batches are not datasets columns")
    # The search costs time at every step.
    ddp_find_unused_parameters: bool | None = setting(
        False, "leave at False: a step uses all weights"
    )


@dataclass
class TrainerArguments(RunArguments, TransformersArguments):
    """What every trainer needs."""

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        device = super().device
        # transformers numbers CPUs, and older versions cannot load optimisers to a numbered CPU.
        return torch.device("cpu") if device.type == "cpu" else device

    def __post_init__(self) -> None:
        if self.logging_steps is None:
            self.logging_steps = min(500, max(1, self.max_steps // 20))
        super().__post_init__()  # type: ignore[no-untyped-call]  # untyped in transformers
        if self.max_steps < 1:
            raise ValueError(
                f"--max_steps {self.max_steps}: the corpus is an endless stream, so give a number "
                "of steps, not of epochs"
            )
        if self.n_gpu > 1:
            raise ValueError(
                f"one process sees {self.n_gpu} GPUs: start one for each (torchrun "
                f"--nproc_per_node {self.n_gpu} -m sled train ...), or make only one visible "
                "(CUDA_VISIBLE_DEVICES=0)"
            )
        for flag in ("enable_jit_checkpoint", "auto_find_batch_size"):
            if getattr(self, flag, False):  # it makes one process do what the others do not
                raise ValueError(
                    f"--{flag} is not supported: leave it out (runs continue from their last "
                    "checkpoint; --max_frames_per_batch and its like bound the memory)"
                )
        for flag in ("max_minutes", "training_minutes"):
            minutes = getattr(self, flag)
            if minutes is not None and not minutes > 0:
                raise ValueError(f"--{flag} {minutes:g}: use more than 0, or leave it out")
        if self.model_dtype not in ("float32", "bfloat16"):
            raise ValueError(f"--model_dtype {self.model_dtype}: choose float32 or bfloat16")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(
                f"--ema_decay {self.ema_decay:g}: use a share under 1, such as 0.999, or 0 for none"
            )
        if self.ema_decay and self.load_best_model_at_end:
            raise ValueError(
                "--ema_decay and --load_best_model_at_end exclude each other: a run ends either "
                "with its averaged weights or with its best checkpoint"
            )
        # If NaN losses were filtered out of the log, training would continue with them unnoticed.
        self.logging_nan_inf_filter = False


class FlagParser(HfArgumentParser):
    """A parser that raises its errors, so that a command reports them as all others."""

    @override
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}: see {self.prog} --help")


def make_flag_parser(
    groups: Any, command: str, description: str | None, first: Collection[str]
) -> FlagParser:
    """Return the parser of a command with many flags, with help in two lengths.

    Args:
        groups: Dataclasses of flags, in the order of their groups, or one of them.
        command: What is called, for example "sled train".
        description: What it does.
        first: Names of the flags that `--help` explains, without dashes.
    """
    parser = FlagParser(
        groups,
        prog=command,
        description=description,
        usage="%(prog)s [flags]",
        formatter_class=FlagFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    add_help_flags(parser, first)
    return parser


def parse_known_flags(parser: FlagParser, argv: Sequence[str] | None) -> Namespace:
    """Parse a command line.

    Args:
        parser: Knows its flags.
        argv: The flags. None: those of the process.

    Raises:
        ValueError: If a flag is unknown, or a value is invalid.
    """
    values, unknown = parser.parse_known_args(argv)
    if unknown:
        raise ValueError(f"unknown flags or values {' '.join(unknown)}: see --help")
    return values


def fill(group: type[Flags], values: Namespace) -> Flags:
    """Make a dataclass of the flags that are its fields."""
    of_group: Any = group
    names = (one.name for one in fields(of_group) if one.init)
    filled: Flags = group(**{name: getattr(values, name) for name in names})
    return filled


def check_evaluation_data(args: TrainingArguments, eval_manifest: Sequence[str]) -> None:
    """Check that a run which evaluates has something to evaluate on.

    Args:
        args: The flags of the run.
        eval_manifest: What `--eval_manifest` names.

    Raises:
        ValueError: If it has nothing.
    """
    strategy = IntervalStrategy(args.eval_strategy)
    if strategy != IntervalStrategy.NO and not eval_manifest:
        raise ValueError(
            f"--eval_manifest is missing for --eval_strategy {strategy.value}: name what to "
            "evaluate on, or pass --eval_strategy no"
        )
