"""The device that `--device` names."""

from __future__ import annotations

import torch


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
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {name} is not available here ({reason}): try cpu") from error
    return name
