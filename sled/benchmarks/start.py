"""How long a command takes from its start until speech is heard, all that it must load included."""

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

LIBRARIES = "import torch; from transformers import EncodecModel, PreTrainedTokenizerFast"
ROWS = {
    "libraries": "torch and transformers imported, and nothing more",
    "streaming": "run_stream.py: first audio in a pipe",
    "offline": "run_offline.py: everything in a file, and the command ended",
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of this benchmark."""
    parser.add_argument("--model_name_or_path", help="as of run_stream.py; unset: its default")
    parser.add_argument("--input", help="text to speak; unset: an example sentence")
    parser.add_argument("--rounds", type=int, default=7, help="starts of each command")


def run(args: argparse.Namespace) -> Report:
    """Start commands as the flags say.

    Raises:
        ValueError: For flags that cannot be used, and if a command fails, with what it said.
    """
    check_at_least(args, 1, "rounds")
    scripts = Path(sys.argv[0]).parent
    flags: list[str] = []
    for name in ("model_name_or_path", "input"):
        if (value := getattr(args, name)) is not None:
            flags += [f"--{name}", value]
    with TemporaryDirectory() as folder:
        stream = [str(scripts / "run_stream.py"), *flags, "--output", "-"]
        offline = [str(scripts / "run_offline.py"), *flags, "--output", f"{folder}/out.wav"]
        commands = {
            "libraries": partial(_until_end, ["-c", LIBRARIES]),
            "streaming": partial(_until_output, stream),
            "offline": partial(_until_end, offline),
        }
        seconds = time_in_turns(commands, args.rounds, torch.device("cpu"))
    spreads = {name: Spread.of(values) for name, values in seconds.items()}
    ratios = {name: spread.over(spreads["libraries"]) for name, spread in spreads.items()}
    rows = [("command", "seconds", "times the libraries")]
    rows += [(ROWS[name], f"{spreads[name]:.2f}", f"{ratios[name]:.2f}") for name in ROWS]
    text = f"{table(rows)}\n\nmedian (quartiles) of {args.rounds} starts, after one that warms up"
    settings = {key: str(value) for key, value in vars(args).items()}
    figures = {"seconds": spreads, "ratios": ratios}
    return Report("start", describe_machine(), settings, figures, text)


def _until_end(arguments: list[str]) -> None:
    """Run Python until it ends."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{arguments[0]}: {done.stderr.strip()}")


def _until_output(arguments: list[str]) -> None:
    """Run Python until the first byte of its output comes; then it is stopped."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, *arguments], stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None and process.stderr is not None
        if not process.stdout.read(1):
            said = process.stderr.read().decode(errors="replace")
            raise ValueError(f"{arguments[0]}: {said.strip()}")
        process.kill()
