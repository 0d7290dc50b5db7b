"""What a server adds to a session: time to the first audio, and to the end when a caller leaves."""

from __future__ import annotations

import argparse

from sled.benchmarks.flags import add_json_flag
from sled.cli.flags import add_model_flag
from sled.files.extras import install_command

EXAMPLE = "sled bench server --model digits"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled bench server`."""
    add_json_flag(parser)
    add_model_flag(parser, "checkpoint")
    parser.add_argument("--text", help="what is said; unset: an example of the model")
    parser.add_argument("--rounds", type=int, default=100, help="calls in each way")


def run(args: argparse.Namespace) -> None:
    """Measure, and print the report.

    Raises:
        ValueError: If the extra is not installed, or as `sled.benchmarks.server.measure`.
    """
    from sled.benchmarks.report import print_report

    try:
        from sled.benchmarks.server import measure
    except ImportError as error:
        raise ValueError(
            f"sled bench server needs {error.name}, which is missing: run "
            f"{install_command('serve')}"
        ) from error
    print_report(measure(args), args.json)
