#!/usr/bin/env python
"""Write a model (and its codec) in half precision, ready to ship or to upload."""

import argparse
from pathlib import Path

from sled.cli import run_main
from sled.export import export_codec, export_model
from sled.tts import DTYPES


def main(argv: list[str] | None = None) -> None:
    """Parse the flags, export, and say how large the result is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", help="checkpoint folder to export")
    parser.add_argument("--codec", help="codec folder to export")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--dtype", choices=list(DTYPES), default="float16", help="of the weights")
    args = parser.parse_args(argv)
    if (args.model is None) == (args.codec is None):
        raise ValueError("name what to export: either --model or --codec")
    if args.model is not None:
        export_model(args.model, args.output, args.dtype)
    else:
        export_codec(args.codec, args.output, args.dtype)
    size = sum(file.stat().st_size for file in args.output.rglob("*") if file.is_file())
    print(f"{args.output}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    run_main(main)
