"""The files of a checkpoint folder: a configuration, and weights in one file or in several."""

from __future__ import annotations

import json
from pathlib import Path

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


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{index} does not say where the weights are ({error}): copy it again"
        ) from error
