"""Time from the start of a command until speech is heard, with everything that it loads."""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from sled.benchmarks.flags import check_at_least
from sled.benchmarks.report import Report, Spread, describe_machine, table
from sled.benchmarks.timing import time_in_turns

BASELINE = ["-c", "import torch"]
SLED = ["-m", "sled"]
ROWS = {
    "torch": "python -c 'import torch'",
    "stream": "sled stream: first audio in a pipe",
    "speak": "sled speak: file written and command ended",
}


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
