"""The files of a checkpoint folder: a configuration, and weights in one or several files."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from sled.files.hub import find_hub_file, hub_file, is_hub_name

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
# Maps each tensor to the file that holds it, if there are several.
INDEX_FILE = "model.safetensors.index.json"
# Types that weights are stored in, by their names in the files.
STORED_TYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8},
    **{"U8": torch.uint8, "BOOL": torch.bool},
}


def checkpoint_folder(name_or_path: str | Path) -> Path:
    """Return the folder of a checkpoint, downloaded from the Hugging Face hub if necessary.

    Args:
        name_or_path: A folder, or the name of a repository on the hub.

    Raises:
        ValueError: If there is no such checkpoint, or one of its files is missing.
    """
    path = Path(name_or_path)
    if path.is_dir():
        if missing := missing_files(path):
            raise ValueError(
                f"{path} is not a checkpoint: it lacks {' and '.join(missing)}; "
                "name the folder that training saved"
            )
        return path
    if path.exists() or not is_hub_name(name_or_path):
        raise ValueError(
            f"no checkpoint folder at {path}: give the path of a folder, or a hub name OWNER/NAME"
        )
    return _download(str(name_or_path))


def _download(name: str) -> Path:
    try:
        config = hub_file(name, CONFIG_FILE)
        if find_hub_file(name, WEIGHTS_FILE) is None:
            for shard in _shards(hub_file(name, INDEX_FILE)):
                hub_file(name, shard)
    except ValueError as error:
        raise ValueError(f"no checkpoint {name}: {error}") from error
    return config.parent


def missing_files(folder: Path) -> list[str]:
    """Return the files of a checkpoint that are missing in a folder, except the tokenizer's.

    Raises:
        ValueError: If the index of several weight files cannot be read.
    """
    files = [CONFIG_FILE, WEIGHTS_FILE]
    if not (folder / WEIGHTS_FILE).is_file() and (folder / INDEX_FILE).is_file():
        files = [CONFIG_FILE, *_shards(folder / INDEX_FILE)]
    return [name for name in files if not (folder / name).is_file()]


def read_weights(folder: Path, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint folder.

    Args:
        folder: A checkpoint folder, with weights in one or several files.
        dtype: Type to convert to. None: as stored.

    Raises:
        FileNotFoundError: If there are no weights.
        ValueError: If they cannot be read.
    """
    return {
        name: tensor.to(dtype or tensor.dtype, copy=True) for name, tensor in _map_files(folder)
    }


def map_weights(folder: Path) -> dict[str, Tensor]:
    """Map the tensors of a checkpoint folder into memory, as they are stored.

    A tensor takes memory once it is read, and gives it back when nothing refers to it. What is
    written to one does not change the file. The file must not change meanwhile.

    Args:
        folder: A checkpoint folder, with weights in one or several files.

    Raises:
        FileNotFoundError: If there are no weights.
        ValueError: If they cannot be read.
    """
    return dict(_map_files(folder))


def _map_files(folder: Path) -> Iterator[tuple[str, Tensor]]:
    whole, index = folder / WEIGHTS_FILE, folder / INDEX_FILE
    names = _shards(index) if index.is_file() and not whole.is_file() else [WEIGHTS_FILE]
    try:
        for name in names:
            yield from map_tensors(folder / name)
    except SafetensorError as error:
        raise unreadable(folder, error) from error


def map_tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Map the tensors of a file into memory one by one, as in `map_weights`.

    Yields:
        The name of a tensor, and the tensor.

    Raises:
        FileNotFoundError: If there is no such file.
        SafetensorError: If it cannot be read.
    """
    with safe_open(path, "pt"):  # checks the header
        pass
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        for name, stored in header.items():
            begin, end = (8 + size + offset for offset in stored["data_offsets"])
            yield name, _map_tensor(file, begin, end, stored)


def _map_tensor(file: BinaryIO, begin: int, end: int, stored: Mapping[str, Any]) -> Tensor:
    dtype, shape = STORED_TYPES[stored["dtype"]], stored["shape"]
    if begin == end:
        return torch.empty(shape, dtype=dtype)
    page = begin - begin % mmap.ALLOCATIONGRANULARITY
    memory = mmap.mmap(file.fileno(), end - page, access=mmap.ACCESS_COPY, offset=page)
    return torch.frombuffer(memory, dtype=dtype, offset=begin - page).view(shape)


def unreadable(name_or_path: str | Path, error: SafetensorError) -> ValueError:
    """Return the error for weights that cannot be read."""
    return ValueError(f"{name_or_path}: cannot read model.safetensors ({error}): copy it again")


def refuse_tensors(
    name_or_path: str | Path,
    missing: Iterable[str],
    unknown: Iterable[str],
    misshapen: Mapping[str, tuple[Sequence[int], Sequence[int]]],
) -> None:
    """Raise an error if the tensors of a checkpoint are not those of its model.

    Args:
        name_or_path: The checkpoint.
        missing: Names of tensors that the checkpoint lacks.
        unknown: Names of tensors that the model does not have.
        misshapen: Shape in the checkpoint and shape in the model, by name.

    Raises:
        ValueError: If any of the three is not empty.
    """
    shapes = [
        f"{key} {list(found)} instead of {list(wanted)}"
        for key, (found, wanted) in misshapen.items()
    ]
    problems = [
        f"{what}: {', '.join(sorted(keys))}"
        for what, keys in (("missing", missing), ("unknown", unknown), ("wrong shape", shapes))
        if keys
    ]
    if problems:
        raise ValueError(
            f"{name_or_path} does not hold this model's tensors ({'; '.join(problems)}): "
            "check that config.json and model.safetensors belong together"
        )


def assign_weights(
    name_or_path: str | Path, model: nn.Module, weights: Mapping[str, Tensor]
) -> None:
    """Give a model the tensors of its checkpoint.

    Raises:
        ValueError: If the tensors are not those of the model.
    """
    wanted = model.state_dict()
    refuse_tensors(
        name_or_path,
        wanted.keys() - weights.keys(),
        weights.keys() - wanted.keys(),
        {
            key: (weight.shape, wanted[key].shape)
            for key, weight in weights.items()
            if key in wanted and weight.shape != wanted[key].shape
        },
    )
    model.load_state_dict(weights, assign=True)


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{index} does not say where the weights are ({error}): copy it again"
        ) from error
