"""What a model drew where a recording is, frame by frame, in a folder.

    draws.json                 what it was made with
    draws.000000.safetensors   frames [T, D] float16 of the first cuts, by their ids

A file gets its name when it is whole, so an interrupted run continues with the files that are
missing. Frames are those of the codec that a corpus is encoded with, see `Codec.stored`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

_RECORD = "draws.json"


@dataclass(frozen=True)
class DrawsRecord:
    """What draws were made with; kept in `draws.json`.

    Attributes:
        model_digest: Of the model's weights.
        codec_digest: Of the codec whose frames they are.
        frames_per_latent: Frames that the model draws at once: speech may end within the last ones.
        settings: Whatever else decides the draws, in words.
        num_files: How many there are in the end.
    """

    model_digest: str
    codec_digest: str
    frames_per_latent: int
    settings: str
    num_files: int


def open_draws_folder(folder: Path, record: DrawsRecord) -> list[int]:
    """Make a folder one of this record, unless it is one already.

    Returns:
        Numbers of the files that are still to be written.

    Raises:
        ValueError: If it is one of another record.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _RECORD
    if not path.is_file():
        path.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
    if read_draws_record(folder) != record:
        raise ValueError(
            f"{folder} holds draws of another model, codec or corpus, or other settings: choose "
            "another folder"
        )
    return [file for file in range(record.num_files) if not _file(folder, file).is_file()]


def write_draws(folder: Path, file: int, frames: Mapping[str, Tensor]) -> None:
    """Write one file: frames [T, D] by the ids of their cuts."""
    path = _file(folder, file)
    partial = path.with_suffix(".partial")
    halves = {name: tensor.to("cpu", torch.float16).contiguous() for name, tensor in frames.items()}
    save_file(halves, partial)
    partial.replace(path)


def read_draws_record(folder: Path) -> DrawsRecord:
    """What the draws in a folder were made with.

    Raises:
        ValueError: If it holds none.
    """
    try:
        return DrawsRecord(**json.loads((folder / _RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"{folder} holds no draws ({error}): make them with scripts/cache_draws.py"
        ) from error


class Draws(Mapping[str, Tensor]):
    """Frames [T, D] float16 by the ids of cuts, read when they are asked for.

    Args:
        folder: Where `scripts/cache_draws.py` has written them.

    Raises:
        ValueError: If it holds none, not yet all of them, or what cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.record = read_draws_record(folder)
        paths = [_file(folder, file) for file in range(self.record.num_files)]
        if missing := [path.name for path in paths if not path.is_file()]:
            raise ValueError(
                f"{folder} is not complete: {len(missing)} of its {len(paths)} files are missing, "
                f"the first is {missing[0]}: run scripts/cache_draws.py again, with the same flags"
            )
        try:
            files = [safe_open(path, "pt") for path in paths]
            self._files = {name: file for file in files for name in list(file.keys())}
        except SafetensorError as error:
            raise ValueError(f"{folder} cannot be read ({error}): make its draws again") from error

    def __getitem__(self, cut_id: str) -> Tensor:
        return self._files[cut_id].get_tensor(cut_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _file(folder: Path, file: int) -> Path:
    return folder / f"draws.{file:06d}.safetensors"
