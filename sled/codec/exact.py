"""Where numbers in float64 are computed: on a device itself, or on the CPU if it has no float64."""

from __future__ import annotations

import torch
from torch import Tensor

# Apple's GPUs.
WITHOUT_FLOAT64 = frozenset({"mps"})


def exact_device(device: torch.device) -> torch.device:
    """The device on which float64 is computed for a device."""
    return torch.device("cpu") if device.type in WITHOUT_FLOAT64 else device


def exact(x: Tensor) -> Tensor:
    """A tensor in float64, on the `exact_device` of its own."""
    return x.to(exact_device(x.device)).double()


def back(x: Tensor, like: Tensor) -> Tensor:
    """A tensor with the type and on the device of another one; the type is changed first."""
    return x.to(like.dtype).to(like.device)
