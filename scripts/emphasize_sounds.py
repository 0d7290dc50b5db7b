#!/usr/bin/env python
"""Make a codec in whose latents sounds count for more, so that a model learns to read sooner.

Codes stay what they are: a corpus that is encoded with the codec already need not be again. It must
have been aligned (scripts/align.py) before.
"""

import argparse
from pathlib import Path

from sled.cli.speaking import run_main
from sled.training.codec.fit import fit_transforms


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and write the codec."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--codec", required=True, help="codec: folder, hub name or .th file; grouped, if it will be"
    )
    parser.add_argument(
        "--codes", type=Path, required=True, help="folder of cached codes, of an aligned corpus"
    )
    parser.add_argument("--max_cuts", type=int, default=5_000, help="of the corpus to go by")
    parser.add_argument(
        "--strength",
        type=float,
        default=2.0,
        help="a direction that sounds alone decide becomes 1 + STRENGTH times as wide; 0: none",
    )
    parser.add_argument("--output_dir", required=True, help="folder for the new codec")
    args = parser.parse_args(argv)
    report = fit_transforms(
        args.codec,
        f"emphasize:strength={args.strength}:cuts={args.max_cuts}",
        args.output_dir,
        codes=[args.codes],
    )
    print(report)


if __name__ == "__main__":
    run_main(main)
