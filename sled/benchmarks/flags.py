"""Checks of flags that the benchmarks share."""

from __future__ import annotations

import argparse
from pathlib import Path


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
