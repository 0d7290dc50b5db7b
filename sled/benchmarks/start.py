"""Time from the start of a command until speech is heard, with everything that it loads."""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from sled.benchmarks.flags import add_json_flag, check_at_least
from sled.benchmarks.report import Report, Spread, describe_machine, print_report, table
from sled.benchmarks.timing import time_in_turns
from sled.cli.flags import add_model_flag

BASELINE = ["-c", "import torch"]
SLED = ["-m", "sled"]
ROWS = {
    "torch": "python -c 'import torch'",
    "stream": "sled stream: first audio in a pipe",
    "speak": "sled speak: file written and command ended",
}
EXAMPLE = "sled bench start"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sled bench start`."""
    add_json_flag(parser)
    add_model_flag(parser)
    parser.add_argument("--input", help="text to speak; unset: an example sentence")
    parser.add_argument("--rounds", type=int, default=7, help="starts of each command")


def run(args: argparse.Namespace) -> None:
    """Measure, and print the report."""
    print_report(measure(args), args.json)


def measure(args: argparse.Namespace) -> Report:
    """Start the commands in turns with the baseline.

    Raises:
        ValueError: For flags that cannot be used, and if a command fails, with its message.
    """
    check_at_least(args, 1, "rounds")
    flags: list[str] = []
    for name in ("model", "input"):
        if (value := getattr(args, name)) is not None:
            flags += [f"--{name}", value]
    with TemporaryDirectory() as folder:
        output = str(Path(folder) / "out.wav")
        commands = {
            "torch": partial(_until_end, BASELINE),
            "stream": partial(_until_output, [*SLED, "stream", *flags, "--output", "-"]),
            "speak": partial(_until_end, [*SLED, "speak", *flags, "--output", output]),
        }
        seconds = time_in_turns(commands, args.rounds, torch.device("cpu"))
    spreads = {name: Spread.of(values) for name, values in seconds.items()}
    ratios = {name: spread.over(spreads["torch"]) for name, spread in spreads.items()}
    rows = [("command", "seconds", "relative to torch")]
    rows += [(ROWS[name], f"{spreads[name]:.2f}", f"{ratios[name]:.2f}") for name in ROWS]
    text = f"{table(rows)}\n\nmedian (quartiles) of {args.rounds} starts, after one to warm up"
    settings = {key: str(value) for key, value in vars(args).items()}
    figures = {"seconds": spreads, "ratios": ratios}
    return Report("start", describe_machine(), settings, figures, text)


def _until_end(arguments: list[str]) -> None:
    """Run Python until it ends."""
    command, none = [sys.executable, *arguments], subprocess.DEVNULL
    done = subprocess.run(command, stdin=none, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{' '.join(arguments)}: {done.stderr.strip()}")


def _until_output(arguments: list[str]) -> None:
    """Run Python until the first byte of its output, then stop it."""
    command, pipe, none = [sys.executable, *arguments], subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=none, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None and process.stderr is not None
        if not process.stdout.read(1):
            message = process.stderr.read().decode(errors="replace")
            raise ValueError(f"{' '.join(arguments)}: {message.strip()}")
        process.kill()
