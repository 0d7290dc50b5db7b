"""Reading of files with the tensors of one model: `.safetensors`, or `.pt` of plain tensors."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

# Beside the tensors in state dicts that the published trainer saves.
_NO_TENSORS = {"epoch", "step"}


def read_state_dict(
    path: Path, dtype: torch.dtype | None = None, device: str = "cpu"
) -> dict[str, Tensor]:
    """Read the tensors of a file by name.

    Args:
        path: A file of safetensors, or one that `torch.save` wrote. Of the latter only tensors are
            read, because a pickle can run code.
        dtype: Type to convert to. None: as stored.
        device: Where the tensors are to be; "meta": only their shapes are read, of a `.pt`.

    Raises:
        OSError: If there is no such file.
        ValueError: If it holds no tensors by name.
    """
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location=device, weights_only=True)
        return {
            name: tensor.to(dtype or tensor.dtype)
            for name, tensor in state.items()
            if name not in _NO_TENSORS
        }
    except (
        pickle.UnpicklingError,
        SafetensorError,
        RuntimeError,
        EOFError,
        AttributeError,
        ValueError,
    ) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} is no state dict of tensors ({reason}): copy it again") from error
