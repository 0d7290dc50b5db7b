"""The mean of checkpoints in the published form, by the losses in their records."""

from __future__ import annotations

import argparse
import math
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from torch import Tensor

from sled.files.checkpoint import CONFIG_FILE
from sled.training.checkpoints.state import save_state

# Records that are of no checkpoint of an epoch.
_OTHERS = ("train", "init")
_COUNTS = ("epoch", "step")


def best_published(folder: Path, count: int) -> list[Path]:
    """Return the checkpoints with the lowest losses in their records, the best one first.

    Args:
        folder: With `<tag>.pt` and `<tag>.yaml` of each checkpoint.
        count: Number of checkpoints.

    Raises:
        ValueError: If there are fewer.
    """
    best_first = sorted(_records(folder), key=lambda one: (math.isnan(one[0]), *one[:3]))
    return _weights(folder, best_first, count)


def last_published(folder: Path, count: int) -> list[Path]:
    """Return the newest checkpoints, the newest one first; see `best_published`."""
    newest = sorted(_records(folder), key=lambda one: (one[1], one[2]), reverse=True)
    return _weights(folder, newest, count)


def _records(folder: Path) -> list[tuple[float, int, int, Path]]:
    """Loss, epoch, step and file of each record."""
    records = []
    for path in sorted(folder.glob("*.yaml")):
        if path.name.startswith(_OTHERS):
            continue
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            loss = float(content["loss_dict"]["loss"])
            records.append((loss, int(content["epoch"]), int(content["step"]), path))
        except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is no record of a checkpoint ({error}): move it elsewhere"
            ) from error
    return records


def _weights(folder: Path, records: list[tuple[float, int, int, Path]], count: int) -> list[Path]:
    if count < 1:
        raise ValueError(f"{count} checkpoints: use 1 or more")
    if len(records) < count:
        raise ValueError(f"{folder} has {len(records)} checkpoints, not {count}: use fewer")
    return [record.with_suffix(".pt") for _, _, _, record in records[:count]]


def average_published(checkpoints: Sequence[Path], output: Path) -> None:
    """Write the mean of checkpoints, see `mean_published`; `config.json` is copied beside it.

    Raises:
        ValueError: As `mean_published`.
        OSError: If the mean cannot be written.
    """
    means = mean_published(checkpoints)
    output.parent.mkdir(parents=True, exist_ok=True)
    config = checkpoints[0].parent / CONFIG_FILE
    if config.is_file() and not (output.parent / CONFIG_FILE).exists():
        shutil.copy(config, output.parent / CONFIG_FILE)
    save_state(means, output)


def mean_published(checkpoints: Sequence[Path]) -> dict[str, Tensor]:
    """Return the mean of state dicts; integers become floats, `epoch` and `step` are left out.

    Args:
        checkpoints: Files of one model.

    Raises:
        ValueError: If one cannot be read, or they are not of one model.
    """
    sums: dict[str, Tensor] = {}
    types: dict[str, torch.dtype] = {}
    for checkpoint in checkpoints:
        state = _load(checkpoint)
        if not sums:
            types = {
                n: t.dtype if t.is_floating_point() else torch.float32 for n, t in state.items()
            }
            sums = {n: torch.zeros(t.shape, dtype=torch.float64) for n, t in state.items()}
        different = sorted(
            state.keys() ^ sums.keys()
            | {n for n in state.keys() & sums.keys() if state[n].shape != sums[n].shape}
        )
        if different:
            raise ValueError(
                f"{checkpoints[0]} and {checkpoint} differ in {', '.join(different[:3])}: average "
                "checkpoints of one model"
            )
        for name, tensor in state.items():
            sums[name] += tensor
    return {name: (total / len(checkpoints)).to(types[name]) for name, total in sums.items()}


def _load(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"no weights at {path}, which its record names") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} is no state dict of tensors ({reason})") from error
    return {name: tensor for name, tensor in state.items() if name not in _COUNTS}


def make_average_parser(description: str | None = None) -> argparse.ArgumentParser:
    """The parser of the published flags."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--dst_model", type=Path, required=True, help="file to write")
    parser.add_argument("--src_path", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--num", type=int, default=5, help="number of checkpoints")
    parser.add_argument("--val_best", action="store_true", help="the best ones; else the newest")
    return parser


def main(argv: Sequence[str] | None = None, description: str | None = None) -> None:
    """Average as the published flags say.

    Args:
        argv: Flags. None: those of the process.
        description: For --help.

    Raises:
        ValueError: As the functions it calls.
    """
    flags = make_average_parser(description).parse_args(argv)
    choose = best_published if flags.val_best else last_published
    checkpoints = choose(flags.src_path, flags.num)
    average_published(checkpoints, flags.dst_model)
    print(f"{flags.dst_model}: average of {', '.join(path.name for path in checkpoints)}")
