"""Make the digits corpus: digit strings, read by the open teacher model hibari-tts."""

from __future__ import annotations

import argparse

from sled.cli.flags import add_output_flag
from sled.cli.prepare.corpus import report_manifests

EXAMPLE = "sled prepare digits -o data"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled prepare digits`."""
    add_output_flag(parser, "folder for the corpus")
    parser.add_argument("--train", type=int, default=3600, help="single training readings")
    parser.add_argument(
        "--joined", type=int, default=1800, help="training readings of two strings with a pause"
    )
    parser.add_argument("--valid", type=int, default=60, help="validation utterances")
    parser.add_argument("--test", type=int, default=100, help="test utterances")
    parser.add_argument("--seed", type=int, default=0, help="seed of strings and audio")


def run(args: argparse.Namespace) -> None:
    """Make the corpus."""
    from sled.data.synthetic.digits import prepare_digits

    manifests = prepare_digits(
        args.output,
        train=args.train,
        joined=args.joined,
        valid=args.valid,
        test=args.test,
        seed=args.seed,
    )
    report_manifests(manifests)
