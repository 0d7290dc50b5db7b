"""Speed of flow and vocoder as a stream: speech tokens in, audio out."""

from __future__ import annotations

import argparse

from sled.benchmarks.flags import add_json_flag
from sled.cli.flags import add_device_flag

EXAMPLE = "sled bench flow --size small --seconds 60"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled bench flow`."""
    add_json_flag(parser)
    parser.add_argument(
        "--size",
        choices=("published", "small"),
        default="published",
        help="the sizes of CosyVoice2, or smaller ones; both with random weights",
    )
    parser.add_argument(
        "--vocoder", choices=("hift", "vocos"), default="hift", help="the kind of the vocoder"
    )
    parser.add_argument("--seconds", type=int, default=10, help="seconds of speech")
    parser.add_argument("--steps", type=int, default=10, help="Euler steps of the flow")
    parser.add_argument(
        "--guidance", type=float, default=0.7, help="guidance of the flow; 0 halves its cost"
    )
    parser.add_argument(
        "--left_frames",
        type=int,
        help="newest mel frames that a chunk attends to; -1: all; unset: as the flow has it",
    )
    add_device_flag(parser)
    parser.add_argument("--threads", type=int, help="CPU threads; unset: torch's choice")


def run(args: argparse.Namespace) -> None:
    """Measure, and print the report."""
    from sled.benchmarks.flow import measure
    from sled.benchmarks.report import print_report

    print_report(measure(args), args.json)
