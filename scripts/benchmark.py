#!/usr/bin/env python
"""Measure how fast things go here, each beside a baseline that is timed in the same run."""

import argparse
import sys
from importlib import import_module

from sled.cli.speaking import run_main

BENCHMARKS = ("data", "generate", "latency", "sessions", "start", "train")


def build_parser(wanted: str | None = None) -> argparse.ArgumentParser:
    """A subcommand with its own flags for each benchmark.

    Args:
        wanted: The only one that is needed. Others are not imported then: what they need would
            count as memory that speaking takes.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="benchmark", required=True)
    for name in [wanted] if wanted in BENCHMARKS else BENCHMARKS:
        benchmark = import_module(f"sled.benchmarks.{name}")
        command = commands.add_parser(
            name,
            help=benchmark.__doc__,
            description=benchmark.__doc__,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        benchmark.add_flags(command)
        command.set_defaults(run=benchmark.run)
        command.add_argument(
            "--json",
            action=argparse.BooleanOptionalAction,
            default=True,
            help="print everything as JSON too, on the last line",
        )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark that is asked for, and print its report."""
    words = sys.argv[1:] if argv is None else argv
    args = build_parser(words[0] if words else None).parse_args(words)
    run = vars(args).pop("run")
    report = run(args)
    print(report)
    if args.json:
        print(report.to_json())


if __name__ == "__main__":
    run_main(main)
