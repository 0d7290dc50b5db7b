#!/usr/bin/env python
"""Write a model and its codec in half precision, ready to ship or to upload."""

import argparse
from pathlib import Path

from sled.cli.speaking import run_main
from sled.fast import DTYPES
from sled.training.export import export


def main(argv: list[str] | None = None) -> None:
    """Parse the flags, export, and say how large the result is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", required=True, help="checkpoint folder to export")
    parser.add_argument("--codec", help="codec folder to put beside it")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--dtype", choices=list(DTYPES), default="float16", help="of the weights")
    parser.add_argument(
        "--max_shard_size",
        default="50GB",
        help="of a file of the model's weights, such as 15MB: larger models go into several",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        help="scale of the noise that it shall speak with unless asked otherwise; unset: as before",
    )
    parser.add_argument("--cfg", type=float, help="guidance scale, likewise")
    parser.add_argument(
        "--draws", type=int, help="number of draws that each frame is the mean of, likewise"
    )
    args = parser.parse_args(argv)
    export(
        args.model,
        args.output,
        args.codec,
        args.dtype,
        args.max_shard_size,
        args.temperature,
        args.cfg,
        args.draws,
    )
    size = sum(file.stat().st_size for file in args.output.rglob("*") if file.is_file())
    print(f"{args.output}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    run_main(main)
