"""The device that `--device` names, and the name of the processor."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from sled.model.device import check_device


def choose_device(name: str) -> str:
    """The torch device of a flag; "auto" takes what the machine has.

    Raises:
        ValueError: If the device is not available.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return check_device(name)
    except ValueError as error:
        raise ValueError(f"--{error}") from error  # the name of the flag


def cpu_name() -> str:
    """Return the name of the processor, if the system knows it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
