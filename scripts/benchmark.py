#!/usr/bin/env python
"""Measure how fast things go here, each beside a baseline that is timed in the same run."""

import argparse

from sled.benchmarks import data, generate, latency, sessions, train
from sled.cli import run_main

BENCHMARKS = {
    "data": data,
    "generate": generate,
    "latency": latency,
    "sessions": sessions,
    "train": train,
}


def build_parser() -> argparse.ArgumentParser:
    """A subcommand with its own flags for each benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="benchmark", required=True)
    for name, benchmark in BENCHMARKS.items():
        command = commands.add_parser(
            name,
            help=benchmark.__doc__,
            description=benchmark.__doc__,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        benchmark.add_flags(command)
        command.add_argument(
            "--json",
            action=argparse.BooleanOptionalAction,
            default=True,
            help="print everything as JSON too, on the last line",
        )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark that is asked for, and print its report."""
    args = build_parser().parse_args(argv)
    report = BENCHMARKS[args.benchmark].run(args)
    print(report)
    if args.json:
        print(report.to_json())


if __name__ == "__main__":
    run_main(main)
