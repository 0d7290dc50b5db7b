"""Reading and writing the files of a codec: config.json and model.safetensors.

They lie in a folder, or in a repository on the Hugging Face hub.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from sled.files.checkpoint import map_tensors
from sled.files.hub import find_hub_file, hub_file, is_hub_name

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"


def read_config(name_or_path: str | Path) -> dict[str, object]:
    """Read the config.json of a codec; empty for a `.th` file, which has none.

    Raises:
        ValueError: If it is not there, or is not a JSON object.
    """
    if Path(name_or_path).expanduser().is_file():
        return {}
    path = require_file(name_or_path, CONFIG_FILE)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise unusable(name_or_path, str(error)) from error
    if not isinstance(values, dict):
        raise unusable(name_or_path, f"its {CONFIG_FILE} is not a JSON object")
    return values


def read_weights(name_or_path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a codec's model.safetensors, as copies in float32.

    Raises:
        ValueError: If the file is not there, or cannot be read.
    """
    path = require_file(name_or_path, WEIGHTS_FILE)
    try:
        return {name: tensor.to(torch.float32, copy=True) for name, tensor in map_tensors(path)}
    except (OSError, SafetensorError) as error:
        raise _cannot_load(path, str(error).strip().splitlines()[0]) from error


def write_model(
    folder: Path, config: Mapping[str, object], tensors: Mapping[str, Tensor], dtype: torch.dtype
) -> None:
    """Write config.json and model.safetensors.

    Args:
        folder: Made if it is not there.
        config: Content of config.json, to which `dtype` is added.
        tensors: Tensors by name.
        dtype: Of the weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(kept, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    values = {**config, "dtype": str(dtype).removeprefix("torch.")}
    text = json.dumps(values, indent=2, sort_keys=True) + "\n"
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")


def find_file(name_or_path: str | Path, file: str) -> Path | None:
    """A file of a codec, in its folder or on the hub; None if there is none.

    Raises:
        ValueError: If it is on the hub, and cannot be downloaded.
    """
    folder = Path(name_or_path).expanduser()
    if folder.is_file():  # a state file stands alone
        return None
    if folder.is_dir():
        return path if (path := folder / file).is_file() else None
    return find_hub_file(str(name_or_path), file) if is_hub_name(name_or_path) else None


def require_file(name_or_path: str | Path, file: str) -> Path:
    """A file of a codec, in its folder or on the hub.

    Raises:
        ValueError: If it is not there, or cannot be downloaded.
    """
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        if (path := folder / file).is_file():
            return path
        raise _cannot_load(name_or_path, f"it has no {file}")
    try:
        return hub_file(str(name_or_path), file)
    except ValueError as error:
        raise _cannot_load(name_or_path, str(error)) from error


def refuse_differences(
    source: str | Path,
    architecture: str,
    state: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    optional: Collection[str] = (),
) -> None:
    """Make sure that a codec's tensors are those of its architecture.

    Args:
        source: The codec, for the message.
        architecture: Name of the architecture, for the message.
        state: The codec's tensors.
        expected: Those of the architecture.
        optional: Names that may be missing.

    Raises:
        ValueError: With the names of missing, unexpected and misshapen tensors, if there are any.
    """
    kinds = {
        "missing": expected.keys() - state.keys() - set(optional),
        "unexpected": state.keys() - expected.keys(),
        "misshapen": {
            f"{name} {list(state[name].shape)} for {list(tensor.shape)}"
            for name, tensor in expected.items()
            if name in state and state[name].shape != tensor.shape
        },
    }
    lists = [f"{kind}: {', '.join(sorted(names))}" for kind, names in kinds.items() if names]
    if lists:
        raise ValueError(
            f"the tensors of {source} do not fit the {architecture} architecture; "
            + "; ".join(lists)
        )


def unusable(name_or_path: str | Path, reason: str) -> ValueError:
    """The error of a codec whose config.json makes no sense."""
    return ValueError(f"{name_or_path} is not a usable codec: {reason}")


def _cannot_load(name_or_path: str | Path, reason: str) -> ValueError:
    return ValueError(f"cannot load the codec {name_or_path}: {reason}")
