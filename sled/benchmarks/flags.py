"""Flags that benchmarks share, and checks of them."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from sled.benchmarks.sizes import SIZES
from sled.cli.device import choose_device
from sled.cli.flags import add_device_flag, add_dtype_flag


def add_speaker_flags(parser: argparse.ArgumentParser) -> None:
    """Who speaks, and with what."""
    parser.add_argument(
        "--size",
        choices=SIZES,
        default="published",
        help="of the model: a bundled voice, or a size with random weights",
    )
    add_device_flag(parser)
    add_dtype_flag(parser)
    parser.add_argument("--cfg", type=float, default=2.0, help="guidance scale, 1 for none")
    parser.add_argument(
        "--draws",
        type=int,
        default=1,
        help="of how many draws each frame is the mean; a baseline makes one all the same",
    )
    parser.add_argument("--threads", type=int, help="of the processor; unset: torch's choice")


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument(
        "--json",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also print all figures as JSON, on the last line",
    )


def open_device(args: argparse.Namespace) -> torch.device:
    """The device that the flags of a speaker name, with so many threads."""
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    return torch.device(choose_device(args.device))


def check_folder(path: Path) -> None:
    """Make sure that a file can be made in its folder.

    Raises:
        ValueError: If there is no such folder.
    """
    if not path.parent.is_dir():
        raise ValueError(f"{path}: no folder {path.parent}: create it first")


def check_at_least(args: argparse.Namespace, minimum: int, *names: str) -> None:
    """Make sure that flags, where they are set, are not below a minimum.

    Raises:
        ValueError: Naming the first that is.
    """
    for name in names:
        value = getattr(args, name)
        if value is not None and value < minimum:
            raise ValueError(f"--{name} {value}: give {minimum} or more")
