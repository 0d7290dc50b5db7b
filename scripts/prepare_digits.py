#!/usr/bin/env python
"""Make the digits corpus: spoken digit strings read by the open hibari-tts teacher."""

import argparse
from pathlib import Path

from sled.cli.speaking import run_main
from sled.data.manifests import load_cuts
from sled.data.synthetic.digits import prepare_digits


def main(argv: list[str] | None = None) -> None:
    """Parse the flags and make the corpus."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the corpus")
    parser.add_argument("--train", type=int, default=3600, help="single training readings")
    parser.add_argument(
        "--joined", type=int, default=1800, help="training readings of two strings with a pause"
    )
    parser.add_argument("--valid", type=int, default=60, help="validation utterances")
    parser.add_argument("--test", type=int, default=100, help="test utterances")
    parser.add_argument("--seed", type=int, default=0, help="decides the strings and the audio")
    args = parser.parse_args(argv)

    manifests = prepare_digits(
        args.output,
        train=args.train,
        joined=args.joined,
        valid=args.valid,
        test=args.test,
        seed=args.seed,
    )
    for split, manifest in manifests.items():
        cuts = load_cuts(manifest)
        hours = sum(cut.duration for cut in cuts) / 3600
        print(f"{split}: {len(cuts)} utterances, {hours:.2f} h, {manifest}")


if __name__ == "__main__":
    run_main(main)
