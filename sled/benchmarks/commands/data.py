"""Speed of the data loader, from cached codes and from audio, and padding of its batches.

The first corpus is the baseline.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sled.benchmarks.flags import add_json_flag

EXAMPLE = "sled bench data"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled bench data`."""
    add_json_flag(parser)
    parser.add_argument(
        "--manifest",
        nargs="+",
        type=Path,
        default=[],
        help="corpora, the baseline first: cut manifests or folders of cached codes; unset: noise "
        "with Libriheavy's durations, as 16 kHz FLAC and as cached codes",
    )
    parser.add_argument(
        "--data_path", type=Path, help="folder that relative audio paths start from"
    )
    parser.add_argument("--tokenizer", help="unset: one trained on the texts of the corpora")
    parser.add_argument("--num_cuts", type=int, default=100, help="cuts of an epoch and of a round")
    parser.add_argument(
        "--num_workers", type=int, nargs="+", default=[0, 2], help="workers of the loader"
    )
    parser.add_argument("--rounds", type=int, default=3, help="number of timed rounds")
    parser.add_argument("--batch_size", type=int, default=8, help="cuts of a batch of fixed size")
    parser.add_argument("--frames", type=int, default=9000, help="padded frames of a dynamic batch")
    parser.add_argument(
        "--quadratic_duration_s", type=float, default=15.0, help="penalty on long cuts in it"
    )


def run(args: argparse.Namespace) -> None:
    """Measure, and print the report."""
    from sled.benchmarks.data import measure
    from sled.benchmarks.report import print_report

    print_report(measure(args), args.json)
