"""Running `sled` as a user does: in this process, and in one of its own."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

from sled.cli.commands import find_command
from sled.cli.main import main

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"


def run(command: str, *argv: object) -> int:
    """Run a command such as "cache codes" in this process; returns its exit status."""
    try:
        return main([*command.split(), *map(str, argv)])
    except SystemExit as status:  # argparse ends so
        return int(status.code or 0)


def run_script(script: str, *argv: object) -> int:
    """Run scripts/<script>.py in this process; returns its exit status."""
    path = str(SCRIPTS / f"{script}.py")
    with patch.object(sys, "argv", [path, *map(str, argv)]):
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as status:
            return int(status.code or 0)
    return 0


def recorded(log: str) -> list[list[str]]:
    """Commands that a stand-in for Python wrote down: of each its name, and its flags.

    A line has the words of one, each followed by a unit separator. The name of a recipe's own
    script is its path.
    """
    commands = []
    for line in log.splitlines():
        words = line.split("\037")[:-1]
        if (ROOT / words[0]).is_file():
            commands.append(words)
            continue
        assert words[:2] == ["-m", "sled"], words
        name = find_command(words[2:])
        assert name is not None, words
        commands.append([name, *words[2 + len(name.split()) :]])
    return commands


def run_process(
    command: str, *argv: object, cwd: Path, text: str = "", binary: bool = False
) -> subprocess.CompletedProcess:
    """Run a command in a process of its own, with `text` on its standard input.

    What it writes is text, or bytes if `binary`.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "sled", *command.split(), *map(str, argv)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        input=text.encode() if binary else text,
        capture_output=True,
        text=not binary,
    )
