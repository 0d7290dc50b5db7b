"""`sled serve` as a process of its own, for a measurement."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

START_S = 300.0
STOP_S = 20.0
LISTENING = re.compile(r"listening at (http://\S+?),")


@contextmanager
def own_server(model: str | None) -> Iterator[str]:
    """A server of a model; yields its address. Its settings are those of the environment.

    Args:
        model: As `sled serve` takes it.

    Raises:
        ValueError: If it does not start, with its message.
    """
    command = [sys.executable, "-m", "sled", "serve", "--port", "0"]
    if model is not None:
        command += ["--model", model]
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
