"""Tensors and plain values in one file of torch, such as the state that a run continues from."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sled.files.whole import write_whole


def save_state(state: Mapping[str, Any], path: Path) -> None:
    """Write tensors and plain values; an interrupted write leaves the older file.

    Raises:
        OSError: If it cannot be written.
    """
    try:
        write_whole(path, partial(torch.save, dict(state)))
    except RuntimeError as error:  # so torch reports a full disk
        reason = str(error).partition("\n")[0]
        raise OSError(f"{path} cannot be written ({reason}): free space") from error


def load_state(path: Path, device: str = "cpu") -> dict[str, Any]:
    """Read what `save_state` wrote.

    Args:
        path: The file.
        device: Where its tensors are to be.

    Raises:
        ValueError: If it is damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{path} cannot be read ({reason}): copy it again, or delete it to start anew"
        ) from error
    return state
