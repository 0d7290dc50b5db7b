"""`sled serve`, or the server of a peer, as a process of its own, for a measurement."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from sled.benchmarks import peers

START_S = 300.0
STOP_S = 20.0
LISTENING = re.compile(r"listening at (http://\S+?),")


def own_server(model: str | None) -> AbstractContextManager[str]:
    """`sled serve`; its settings are those of the environment.

    Args:
        model: As `sled serve` takes it.

    Returns:
        The context of a server, as `_server` makes it.
    """
    command = [sys.executable, "-m", "sled", "serve", "--port", "0"]
    return _server(command if model is None else [*command, "--model", model])


def pocket_server(python: str) -> AbstractContextManager[str]:
    """The server of Pocket TTS, with random weights.

    Args:
        python: The interpreter that has its package.

    Returns:
        The context of a server, as `_server` makes it.
    """
    script = Path(peers.__file__).with_name("random_pocket.py")
    return _server([python, str(script), "--port", "0"])


@contextmanager
def _server(command: Sequence[str]) -> Iterator[str]:
    """Run a server that tells its address; yields the address.

    Raises:
        ValueError: If it does not start, with its message.
    """
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        too_late = threading.Timer(START_S, process.kill)
        too_late.start()
        try:
            url = _address(process, log)
            too_late.cancel()
            yield url
        finally:
            too_late.cancel()
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _address(process: subprocess.Popen[str], log: IO[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found := LISTENING.search(line):
            return found[1]
    process.wait()
    log.seek(0)
    message = log.read().strip().splitlines()
    raise ValueError(f"the server did not start: {message[-1] if message else process.returncode}")
