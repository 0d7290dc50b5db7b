"""Callers who arrive at random at a server: first audio, underruns, refusals, audio in time.

They write at the speed of a typist or of a language model over the WebSocket, or send whole texts
over HTTP. Their rate is a multiple of the capacity, which is measured first, and nobody waits for
others to be served. Without --url, `sled serve` is started as another process, with the settings of
the environment, such as SLED_QUEUE_S=0; or with --peer, the server of another system.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sled.benchmarks.flags import add_json_flag
from sled.cli.flags import add_model_flag

EXAMPLE = "sled bench load --model digits --picture load.svg"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled bench load`."""
    add_json_flag(parser)
    parser.add_argument("--url", help="address of a server that runs; unset: one is started")
    add_model_flag(parser, "of the server that is started: checkpoint")
    parser.add_argument(
        "--api",
        choices=("sled", "openai", "pocket"),
        default="sled",
        help="what the server speaks: `sled serve`, OpenAI's speech API, Pocket TTS",
    )
    parser.add_argument(
        "--peer",
        choices=("pocket-tts",),
        help="start the server of this system, with random weights",
    )
    parser.add_argument(
        "--peer_python",
        default=sys.executable,
        help="the Python for which it is installed; unset: the one that runs this",
    )
    parser.add_argument("--key", help="API key of the server")
    parser.add_argument("--voice", help="voice of the server; unset: its own")
    parser.add_argument("--texts", type=Path, help="what callers say: a file, a text per line")
    parser.add_argument(
        "--rates",
        type=float,
        nargs="+",
        default=[0.5, 1.0, 2.0, 4.0],
        help="rates of arrival, as multiples of the capacity",
    )
    parser.add_argument("--capacity", type=float, help="callers per second; unset: measured")
    parser.add_argument("--seconds", type=float, default=25.0, help="how long callers arrive")
    parser.add_argument("--rounds", type=int, default=1, help="runs at each rate")
    parser.add_argument("--seed", type=int, default=0, help="seed of the arrivals")
    parser.add_argument("--picture", type=Path, help="SVG file: distribution of the first audio")


def run(args: argparse.Namespace) -> None:
    """Measure, and print the report."""
    from sled.benchmarks.load.measure import measure
    from sled.benchmarks.report import print_report

    print_report(measure(args), args.json)
