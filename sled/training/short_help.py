"""Help in two lengths: `--help` explains the flags that matter first, `--help-all` all of them."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import Any, NoReturn

from typing_extensions import override

# Of `sled train`: those that a newcomer needs.
FIRST_FLAGS = (
    *("recordings", "train_manifest", "eval_manifest", "codec", "tokenizer", "transforms"),
    *("finetune_path", "hidden_size", "num_hidden_layers", "text_normalization", "lora_rank"),
    *("stream_n", "stream_m", "offline_share", "alignment_weight", "history_noise"),
    *("scheduled_sampling", "join_share", "max_duration_s", "ema_decay"),
    *("output_dir", "max_steps", "max_minutes", "max_seconds_per_batch", "learning_rate"),
    *("per_device_train_batch_size", "warmup_steps", "bf16", "use_cpu", "seed"),
    *("logging_steps", "save_steps", "eval_strategy", "eval_steps", "report_to"),
)


class FlagFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """One spelling of each flag, its value once, and the default of each flag that has one."""

    @override
    def _format_action_invocation(self, action: argparse.Action) -> str:
        words = [one for one in action.option_strings if "-" not in one.lstrip("-")]
        words = words or list(action.option_strings)
        if action.nargs != 0:
            metavar = action.metavar or (action.dest.rpartition("_")[2] or "value").upper()
            words.append(f"{metavar} ..." if action.nargs in ("*", "+") else str(metavar))
        return " ".join(words)

    @override
    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, [], argparse.SUPPRESS):
            return action.help
        return super()._get_help_string(action)


def add_help_flags(parser: argparse.ArgumentParser, first: Collection[str]) -> None:
    """Add `--help` and `--help-all` to a parser that was made without help.

    Args:
        parser: The parser, with all of its other flags.
        first: Names of the flags that `--help` explains, without dashes.
    """
    help_flags = parser.add_argument_group("help")
    shown = "the flags that matter first"
    help_flags.add_argument("-h", "--help", action=_Help, first={*first}, help=f"explain {shown}")
    help_flags.add_argument("--help-all", action=_Help, first=None, help="explain all flags")


class _Help(argparse.Action):
    """Prints the help and ends the process.

    Args:
        first: Names of the flags to explain; None: all.
    """

    def __init__(self, *args: Any, first: Collection[str] | None, **kwargs: Any) -> None:
        kwargs |= {"dest": argparse.SUPPRESS, "default": argparse.SUPPRESS, "nargs": 0}
        super().__init__(*args, **kwargs)
        self._first = first

    @override
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        hidden = 0
        for action in parser._actions:
            if self._first is not None and action.dest not in {*self._first, argparse.SUPPRESS}:
                action.help = argparse.SUPPRESS
                hidden += 1
        if hidden:
            parser.epilog = f"{hidden} more flags are explained by --help-all."
        parser.print_help()
        parser.exit()
