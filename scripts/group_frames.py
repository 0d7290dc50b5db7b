#!/usr/bin/env python
"""Make a codec that takes several frames for one, so that a model takes fewer steps."""

import argparse

from sled.cli.speaking import run_main
from sled.training.codec.fit import fit_transforms


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and write the codec."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--codec", required=True, help="codec: folder, hub name or .th file")
    parser.add_argument("--frames", type=int, default=2, help="frames that become one")
    parser.add_argument("--output_dir", required=True, help="folder for the new codec")
    args = parser.parse_args(argv)
    report = fit_transforms(args.codec, f"group:{args.frames}", args.output_dir)
    print(report)


if __name__ == "__main__":
    run_main(main)
