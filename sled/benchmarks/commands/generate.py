"""Speed and memory of decoding, and accuracy of the fast forms, beside the published algorithm."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sled.benchmarks.flags import add_json_flag, add_speaker_flags

EXAMPLE = "sled bench generate --size english"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled bench generate`."""
    add_json_flag(parser)
    add_speaker_flags(parser)
    parser.add_argument("--batch", type=int, default=1, help="utterances at once")
    parser.add_argument(
        "--context", type=int, default=400, help="positions before the frames that are timed"
    )
    parser.add_argument("--frames", type=int, default=20, help="frames of a round")
    parser.add_argument("--rounds", type=int, default=5, help="number of timed rounds")
    parser.add_argument(
        "--codec_threads", type=int, help="CPU threads of the codec; unset: half of torch's"
    )
    parser.add_argument(
        "--fidelity",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compare frames with those of float32",
    )
    parser.add_argument(
        "--heads", action="store_true", help="also time one draw of each head, in plain float32"
    )
    parser.add_argument("--picture", type=Path, help="SVG file: the parts of the time of a frame")
    parser.add_argument(
        "--timeline", type=Path, help="SVG file: when the threads of a session compute"
    )
    parser.add_argument(
        "--peer",
        choices=("pocket-tts",),
        help="also time this system, with random weights, in turns with ours",
    )
    parser.add_argument(
        "--peer_python",
        default=sys.executable,
        help="the Python for which it is installed; unset: the one that runs this",
    )


def run(args: argparse.Namespace) -> None:
    """Measure, and print the report."""
    from sled.benchmarks.generate import measure
    from sled.benchmarks.report import print_report

    print_report(measure(args), args.json)
