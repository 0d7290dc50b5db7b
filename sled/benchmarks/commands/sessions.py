"""Many sessions in one batch: time of a step, share of late frames, and memory of a session."""

from __future__ import annotations

import argparse

from sled.benchmarks.flags import add_json_flag, add_speaker_flags

EXAMPLE = "sled bench sessions --size published --device cuda --batch 1000"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled bench sessions`."""
    add_json_flag(parser)
    add_speaker_flags(parser)
    parser.add_argument("--batch", type=int, default=1000, help="sessions at once")
    parser.add_argument("--context", type=int, default=150, help="frames of the voice")
    parser.add_argument(
        "--frames",
        type=int,
        default=750,
        help="frames of a session, after which another one takes its slot",
    )
    parser.add_argument("--steps", type=int, default=1000, help="number of timed steps")


def run(args: argparse.Namespace) -> None:
    """Measure, and print the report."""
    from sled.benchmarks.report import print_report
    from sled.benchmarks.sessions import measure

    print_report(measure(args), args.json)
