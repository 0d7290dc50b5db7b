"""The checkpoint from which a run continues: files may be damaged after they were written."""

from __future__ import annotations

import json
import logging
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from sled.training.checkpoints.saving import BATCHES_FILE

logger = logging.getLogger(__name__)

# Files that every checkpoint has; those of the weights depend on how they are distributed.
_REQUIRED = (TRAINER_STATE_NAME, BATCHES_FILE)


def checkpoint_to_continue(named: str | None, output_dir: Path) -> Path | None:
    """The checkpoint that a flag names, else the last one of the run; None if there is none.

    Args:
        named: The value of `--resume_from_checkpoint`.
        output_dir: The folder of the run.

    Raises:
        ValueError: If it cannot be read.
    """
    if named is None:
        return find_last(output_dir)
    if damage := find_damage(Path(named)):
        raise ValueError(
            f"--resume_from_checkpoint {named} cannot be read ({damage}): name another one"
        )
    return Path(named)


def find_last(output_dir: Path) -> Path | None:
    """The newest checkpoint in a run's folder whose files can be read; None if there is none.

    Raises:
        ValueError: If there are checkpoints, and all of them are damaged.
    """
    damaged: list[str] = []
    for checkpoint in _newest_first(output_dir):
        damage = find_damage(checkpoint)
        if damage is None:
            if damaged:
                logger.warning("%s: going on from %s instead", "; ".join(damaged), checkpoint.name)
            return checkpoint
        damaged.append(f"{checkpoint} cannot be read ({damage})")
    if damaged:
        raise ValueError(
            f"{'; '.join(damaged)}: copy one of them again, or delete them to start anew"
        )
    return None


def find_damage(checkpoint: Path) -> str | None:
    """What is wrong with the files of a checkpoint, in a few words; None if nothing is.

    Files that are too short or too long are found. Of weights in safetensors, which have no
    checksums, changed values are not.
    """
    for name in _REQUIRED:
        if not (checkpoint / name).is_file():
            return f"no {name}"
    for path in sorted(checkpoint.rglob("*")):
        try:
            _check(path)
        except (OSError, ValueError, SafetensorError, zipfile.BadZipFile) as error:
            return f"{path.relative_to(checkpoint)}: {' '.join(str(error).split())}"
    return None


def _newest_first(output_dir: Path) -> Iterator[Path]:
    steps = {}
    for path in output_dir.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        number = re.fullmatch(r".*-(\d+)", path.name)
        if number and path.is_dir():
            steps[int(number[1])] = path
    for step in sorted(steps, reverse=True):
        yield steps[step]


def _check(path: Path) -> None:
    """Raise an error if a file is not whole. Of unknown forms, nothing is known."""
    if path.suffix == ".safetensors":
        with safe_open(path, "pt"):  # compares the length of the file with its header
            pass
    elif path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix in (".pt", ".pth", ".bin") and path.name != "training_args.bin":
        with zipfile.ZipFile(path) as file:  # the form of torch.save
            if (member := file.testzip()) is not None:
                raise ValueError(f"{member} is damaged")
