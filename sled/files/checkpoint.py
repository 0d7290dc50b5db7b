"""The files of a checkpoint folder: a configuration, and weights in one file or in several."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
# Says which of several files holds which tensor.
INDEX_FILE = "model.safetensors.index.json"


def missing_files(folder: Path) -> list[str]:
    """What a folder lacks to be a checkpoint; its tokenizer is not looked for.

    Raises:
        ValueError: If what says which files there are cannot be read.
    """
    files = [CONFIG_FILE, WEIGHTS_FILE]
    if not (folder / WEIGHTS_FILE).is_file() and (folder / INDEX_FILE).is_file():
        files = [CONFIG_FILE, *_shards(folder / INDEX_FILE)]
    return [name for name in files if not (folder / name).is_file()]


def read_weights(folder: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors of a checkpoint folder, in a type.

    What has been read of a file stays in memory while it is open: it is opened anew for each
    tensor, so that no more than one is there in both types.

    Raises:
        OSError: If there are no weights.
        SafetensorError: If they cannot be read.
    """
    weights = {}
    whole, index = folder / WEIGHTS_FILE, folder / INDEX_FILE
    names = _shards(index) if index.is_file() and not whole.is_file() else [WEIGHTS_FILE]
    for path in (folder / name for name in names):
        with safe_open(path, "pt") as file:
            keys = list(file.keys())
        for key in keys:
            with safe_open(path, "pt") as file:
                weights[key] = file.get_tensor(key).to(dtype, copy=True)
    return weights


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{index} does not say where the weights are ({error}): copy it again"
        ) from error
