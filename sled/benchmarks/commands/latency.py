"""Delay of the first audio, and whether a stream keeps up, at several speeds of the writer."""

from __future__ import annotations

import argparse

from sled.benchmarks.flags import add_json_flag, add_speaker_flags

EXAMPLE = "sled bench latency --size published"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled bench latency`."""
    add_json_flag(parser)
    add_speaker_flags(parser)
    parser.add_argument(
        "--family",
        choices=("cosyvoice2",),
        help="measure a chain of speech tokens instead, of --size published or debug; it computes "
        "in float32, without guidance",
    )
    parser.add_argument(
        "--words_per_second",
        type=float,
        nargs="+",
        default=[float("inf"), 4.0],
        help="simulated speeds of the writer; inf: all text at once",
    )
    parser.add_argument("--words", type=int, default=8, help="words of the text")
    parser.add_argument("--rounds", type=int, default=5, help="sessions at each speed")


def run(args: argparse.Namespace) -> None:
    """Measure, and print the report."""
    from sled.benchmarks.latency import measure
    from sled.benchmarks.report import print_report

    print_report(measure(args), args.json)
