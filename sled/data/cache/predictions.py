"""Ground-truth-aligned (GTA) frames: what a model predicts where recordings are, in a folder.

    predictions.json                 what they were made with
    predictions.000000.safetensors   frames [T, D] float16 of the first cuts, by their ids

A file gets its name when it is whole, so an interrupted run continues with the files that are
missing. Frames are those of the codec that a corpus is encoded with, see `Codec.stored`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sled.data.cache import records

_RECORD = "predictions.json"


@dataclass(frozen=True)
class PredictionsRecord:
    """What frames were made with; kept in `predictions.json`.

    Attributes:
        model_digest: Of the model's weights.
        codec_digest: Of the codec whose frames they are.
        manifest_digest: Of the corpus.
        frames_per_latent: Frames that the model predicts at once: speech may end within the last.
        cfg, temperature, draws: How it spoke.
        offline_share, hours, max_duration_s, seed: As for `cache_predictions`.
        num_files: How many there are in the end.
    """

    model_digest: str
    codec_digest: str
    manifest_digest: str
    frames_per_latent: int
    cfg: float
    temperature: float
    draws: int
    offline_share: float
    hours: float
    max_duration_s: float
    seed: int
    num_files: int


def claim_predictions(folder: Path, record: PredictionsRecord) -> list[int]:
    """Make a folder one of this record, unless it is one already.

    Returns:
        Numbers of the files that are still to be written.

    Raises:
        ValueError: If it is one of another record.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _RECORD
    records.keep_record(path, record)
    records.refuse_differences(
        path,
        read_predictions_record(folder),
        asdict(record),
        "continue with the same, or choose another folder",
    )
    return [number for number in range(record.num_files) if not _file(folder, number).is_file()]


def write_predictions(folder: Path, number: int, frames: Mapping[str, Tensor]) -> None:
    """Write one file: float16 frames [T, D] by the ids of their cuts."""
    path = _file(folder, number)
    partial = path.with_suffix(".partial")
    save_file({name: tensor.contiguous() for name, tensor in frames.items()}, partial)
    partial.replace(path)


def read_predictions_record(folder: Path) -> PredictionsRecord:
    """What the frames in a folder were made with.

    Raises:
        ValueError: If it holds none.
    """
    try:
        return records.read_record(folder / _RECORD, PredictionsRecord)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{folder} holds no ground-truth-aligned frames ({error}): have sled cache predictions "
            "write them into a new folder"
        ) from error


class Predictions(Mapping[str, Tensor]):
    """Frames [T, D] float16 by the ids of cuts, read when they are asked for.

    Args:
        folder: Where `sled cache predictions` has written them.

    Attributes:
        record: What they were made with.
        num_frames: T of each.

    Raises:
        ValueError: If there are none, not yet all, or none that can be read.
    """

    def __init__(self, folder: Path) -> None:
        self.record = read_predictions_record(folder)
        paths = [_file(folder, number) for number in range(self.record.num_files)]
        if missing := [path.name for path in paths if not path.is_file()]:
            raise ValueError(
                f"{folder} is not complete: {len(missing)} of its {len(paths)} files are missing, "
                f"the first is {missing[0]}: run sled cache predictions again, with the same flags"
            )
        self._paths: dict[str, Path] = {}
        self.num_frames: dict[str, int] = {}
        for path in paths:
            try:
                with safe_open(path, "pt") as file:
                    for name in list(file.keys()):
                        self._paths[name] = path
                        self.num_frames[name] = file.get_slice(name).get_shape()[0]
            except SafetensorError as error:
                raise ValueError(
                    f"{path} cannot be read ({error}): delete it, and run sled cache predictions "
                    "again, with the same flags"
                ) from error

    def __getitem__(self, cut_id: str) -> Tensor:
        with safe_open(self._paths[cut_id], "pt") as file:
            frames: Tensor = file.get_tensor(cut_id)
        assert frames.dtype == torch.float16
        return frames

    def __contains__(self, cut_id: object) -> bool:
        return cut_id in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def _file(folder: Path, number: int) -> Path:
    return folder / f"predictions.{number:06d}.safetensors"
