#!/usr/bin/env python
"""Make a codec whose latents are whitened, so that a model learns all that carries speech alike.

Codes stay what they are: a corpus that is encoded with the codec already need not be again.
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
    parser.add_argument("--codec", required=True, help="codec: folder, hub name or .th file")
    parser.add_argument(
        "--codes", type=Path, required=True, help="folder of cached codes, made with this codec"
    )
    parser.add_argument("--max_cuts", type=int, default=10_000, help="of the corpus to go by")
    parser.add_argument(
        "--floor",
        type=float,
        default=0.6,
        help="standard deviation, in units of the latents' root mean square, under which a "
        "direction is taken for the codec's rounding and left narrow",
    )
    parser.add_argument("--output_dir", required=True, help="folder for the new codec")
    args = parser.parse_args(argv)
    report = fit_transforms(
        args.codec,
        f"whiten:floor={args.floor}:cuts={args.max_cuts}",
        args.output_dir,
        codes=[args.codes],
    )
    print(report)


if __name__ == "__main__":
    run_main(main)
