#!/usr/bin/env python
"""Average the weights of several checkpoints of a model: often better than any one of them."""

import argparse
from pathlib import Path

from sled.cli.speaking import run_main
from sled.training.checkpoints.averaging import (
    average_checkpoints,
    best_checkpoints,
    last_checkpoints,
)


def main(argv: list[str] | None = None) -> None:
    """Parse the flags, choose the checkpoints, and write their average."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="output folder of the run, for --last and --best")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--last", type=int, metavar="N", help="average the newest N checkpoints")
    which.add_argument(
        "--best", type=int, metavar="N", help="average the N with the lowest evaluation loss"
    )
    which.add_argument("--checkpoints", type=Path, nargs="+", help="average these folders")
    parser.add_argument("--output", type=Path, required=True, help="new folder to write")
    args = parser.parse_args(argv)

    if args.checkpoints is not None:
        checkpoints = args.checkpoints
    elif args.run is None:
        raise ValueError("--run is missing: name the output folder that has the checkpoints")
    elif args.last is not None:
        checkpoints = last_checkpoints(args.run, args.last)
    else:
        checkpoints = best_checkpoints(args.run, args.best)
    average_checkpoints(checkpoints, args.output)
    print(f"{args.output}: average of {', '.join(map(str, checkpoints))}")


if __name__ == "__main__":
    run_main(main)
