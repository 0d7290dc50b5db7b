"""The device that `--device` names."""

from __future__ import annotations

import torch

from sled.files.onnx_file import onnx_providers
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


def choose_onnx_device(name: str) -> str:
    """The device of a flag, for ONNX Runtime; "auto" takes a GPU if it can use one.

    Raises:
        ValueError: If it cannot use the device.
    """
    # ONNX Runtime tells what it was built for; whether there is a GPU, torch does.
    if name == "auto" and not torch.cuda.is_available():
        return "cpu"
    try:
        onnx_providers("cuda" if name == "auto" else name)
    except ValueError as error:
        if name == "auto":
            return "cpu"
        raise ValueError(f"--{error}") from error  # the name of the flag
    return "cuda" if name == "auto" else name
