"""Flags that benchmarks share, and checks of flags."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sled.bundled import BUNDLED_MODELS
from sled.cli.flags import add_device_flag, add_dtype_flag

if TYPE_CHECKING:  # flags are read without it
    import torch

# "published-x4" is the published size, with four frames of the codec per step.
SIZES = ("published", "published-x4", *BUNDLED_MODELS, "debug")


def add_speaker_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the model that speaks."""
    parser.add_argument(
        "--size",
        choices=SIZES,
        default="published",
        help="a bundled model, or the size of a model with random weights",
    )
    add_device_flag(parser)
    add_dtype_flag(parser)
    parser.add_argument("--cfg", type=float, default=2.0, help="guidance scale, 1 for none")
    parser.add_argument(
        "--draws",
        type=int,
        default=1,
        help="each frame is the mean of this many draws; a baseline makes one draw",
    )
    parser.add_argument("--threads", type=int, help="CPU threads; unset: torch's choice")


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument(
        "--json",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also print all figures as JSON, on the last line",
    )


def open_device(args: argparse.Namespace) -> torch.device:
    """Set the number of threads, and return the device."""
    import torch

    from sled.cli.device import choose_device

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    return torch.device(choose_device(args.device))


def check_folder(path: Path) -> None:
    """Check that the folder of a file exists.

    Raises:
        ValueError: If it does not.
    """
    if not path.parent.is_dir():
        raise ValueError(f"{path}: no folder {path.parent}: create it first")


def check_at_least(args: argparse.Namespace, minimum: int, *names: str) -> None:
    """Check that flags that are set are not below a minimum.

    Raises:
        ValueError: For the first that is.
    """
    for name in names:
        value = getattr(args, name)
        if value is not None and value < minimum:
            raise ValueError(f"--{name} {value}: give {minimum} or more")
