"""Predictions of a model for the frames of a corpus, given its recordings, in a folder.

    predictions.json                 the record: what they were made from
    predictions.000000.safetensors   float16 [T, D] of the first cuts, by cut id

A file gets its name when it is complete, so an interrupted run continues with the missing files.
Predictions are units of the codec below all transforms, see `Codec.stored`.
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
    """What predictions were made from; stored in `predictions.json`.

    Attributes:
        model_digest: Digest of the model's weights.
        codec_digest: Digest of the codec that decodes the predictions.
        manifest_digest: Digest of the corpus.
        frames_per_latent: Codec frames that the model predicts at once; speech may end within the
            last.
        cfg: Guidance scale.
        temperature: Scale of the noise.
        draws: Draws averaged per frame.
        offline_share: As for `sled.training.predictions.cache_predictions`.
        hours: Requested hours of speech.
        max_duration_s: Longest cut.
        seed: Seed of the selection and the noise.
        num_files: Number of files when complete.
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
    """Write the record into a folder, unless the folder has the same record already.

    Returns:
        Numbers of the files that are still to be written.

    Raises:
        ValueError: If the folder has another record.
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
    """Write one file of predictions [T, D], float16, by cut id."""
    path = _file(folder, number)
    partial = path.with_suffix(".partial")
    save_file({name: tensor.contiguous() for name, tensor in frames.items()}, partial)
    partial.replace(path)


def read_predictions_record(folder: Path) -> PredictionsRecord:
    """Read the record of a folder.

    Raises:
        ValueError: If the folder holds no predictions.
    """
    try:
        return records.read_record(folder / _RECORD, PredictionsRecord)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{folder} holds no predictions of a model ({error}): run sled cache predictions "
            "into a new folder"
        ) from error


class Predictions(Mapping[str, Tensor]):
    """Predictions [T, D], float16, by cut id. They are read from disk on access.

    Args:
        folder: A folder written by `sled cache predictions`.

    Attributes:
        record: What they were made from.
        num_frames: T of each cut.

    Raises:
        ValueError: If predictions are missing, or a file cannot be read.
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
