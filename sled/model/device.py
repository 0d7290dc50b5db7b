"""The devices that torch can compute on."""

from __future__ import annotations

import torch


def check_device(name: str) -> str:
    """The name of a device on which a tensor can be made.

    Raises:
        ValueError: There is no such device here.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {name} is not available here ({reason}): try cpu") from error
    return name
