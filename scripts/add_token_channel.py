#!/usr/bin/env python
"""Make a codec whose latents tell which token is being said, so that a model learns to read sooner.

Codes stay what they are: a corpus that is encoded with the codec already need not be again. It must
have been aligned (scripts/align.py) before.
"""

import argparse

from sled.cli.speaking import run_main
from sled.training.codec.fit import fit_transforms


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and write the codec."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--codec", required=True, help="codec: folder, hub name or .th file")
    parser.add_argument("--tokenizer", required=True, help="whose tokens they are: folder")
    parser.add_argument("--width", type=int, default=32, help="dimensions of the channel")
    parser.add_argument(
        "--norm",
        type=float,
        default=12.0,
        help="of a token's vector; without it a latent of D dimensions has one of some sqrt(D), "
        "if it is whitened",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the vectors' directions")
    parser.add_argument("--output_dir", required=True, help="folder for the new codec")
    args = parser.parse_args(argv)
    report = fit_transforms(
        args.codec,
        f"token-channel:width={args.width}:norm={args.norm}:seed={args.seed}",
        args.output_dir,
        tokenizer=args.tokenizer,
    )
    print(report)


if __name__ == "__main__":
    run_main(main)
