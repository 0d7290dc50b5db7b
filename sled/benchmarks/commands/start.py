"""Time from the start of a command until speech is heard, with everything that it loads."""

from __future__ import annotations

import argparse

from sled.benchmarks.flags import add_json_flag
from sled.cli.flags import add_model_flag

EXAMPLE = "sled bench start"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled bench start`."""
    add_json_flag(parser)
    add_model_flag(parser)
    parser.add_argument("--input", help="text to speak; unset: an example sentence")
    parser.add_argument("--rounds", type=int, default=7, help="starts of each command")


def run(args: argparse.Namespace) -> None:
    """Measure, and print the report."""
    from sled.benchmarks.report import print_report
    from sled.benchmarks.start import measure

    print_report(measure(args), args.json)
