"""Average the weights of several checkpoints of a model: often better than any one of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.cli.flags import add_output_flag

EXAMPLE = "sled average --run model --best 5 -o averaged"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled average`."""
    parser.add_argument("--run", type=Path, help="output folder of the run, for --last and --best")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--last", type=int, metavar="N", help="average the newest N checkpoints")
    which.add_argument(
        "--best", type=int, metavar="N", help="average the N with the lowest evaluation loss"
    )
    which.add_argument("--checkpoints", type=Path, nargs="+", help="average these folders")
    add_output_flag(parser, "new folder to write")


def run(args: argparse.Namespace) -> None:
    """Choose the checkpoints, and write their average.

    Raises:
        ValueError: If no run is named, or as the functions it calls.
    """
    if args.checkpoints is None and args.run is None:
        raise ValueError("--run is missing: name the output folder that has the checkpoints")
    from sled.training.checkpoints.averaging import (
        average_checkpoints,
        best_checkpoints,
        last_checkpoints,
    )

    if args.checkpoints is not None:
        checkpoints = args.checkpoints
    elif args.last is not None:
        checkpoints = last_checkpoints(args.run, args.last)
    else:
        checkpoints = best_checkpoints(args.run, args.best)
    average_checkpoints(checkpoints, args.output)
    print(f"{args.output}: average of {', '.join(map(str, checkpoints))}")
