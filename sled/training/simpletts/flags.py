"""Flags that SimpleTTS's two training commands have in common.

Corpora are JSON lines of `wav`, for the language model also of `txt`. They are prepared once, in
the folder `data` of the output: speaker vectors and speech tokens are extracted, and packed as
Parquet.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from accelerate import PartialState

from sled.files.whole import write_whole
from sled.training.agreement import decided_by_first
from sled.training.epoch_arguments import EpochTrainingArguments
from sled.training.run_arguments import FlagParser, parse_known_flags, setting


@dataclass
class SimpleTTSData:
    """The corpora, and what their tables are extracted with."""

    data_path: str = setting("", "JSON lines of wav and txt, for training; a flow needs no txt")
    eval_data_path: str = setting("", "the same for evaluation")
    campplus_onnx_path: str = setting("", "speaker encoder, campplus.onnx")
    speech_tokenizer: str = setting(
        "", "speech tokenizer, such as speech_tokenizer_v1.onnx; not a published flag"
    )
    model_max_length: int = setting(8192, "accepted, without effect")


@dataclass
class SimpleTTSTraining(EpochTrainingArguments):
    """Settings of the trainer, with the published defaults."""

    max_steps: int = 1_000_000
    save_steps: float = 8000
    optim: str = field(default="adafactor")
    seed: int = 2025
    max_frames_in_batch: int = 0


LIST = Path("parquet") / "data.list"
# Names the newest start that has prepared the corpora.
PREPARED = ".prepared"
_FAILED = " failed"
# Prepares a corpus of JSON lines in a folder; returns its `LIST`.
Prepare = Callable[[Path, Path, SimpleTTSData], Path]


def make_parser(groups: Sequence[Any], description: str | None = None) -> FlagParser:
    """The parser of dataclasses of flags."""
    return FlagParser(list(groups), description=description, allow_abbrev=False)


def read_flags(parser: FlagParser, argv: Sequence[str] | None) -> Namespace:
    """Parse flags, and check that the corpus and its encoders are named.

    Args:
        parser: Knows those of `SimpleTTSData`.
        argv: The flags. None: those of the process.

    Raises:
        ValueError: If one is unknown or missing.
    """
    values = parse_known_flags(parser, argv)
    for flag in ("data_path", "campplus_onnx_path", "speech_tokenizer"):
        if not getattr(values, flag):
            raise ValueError(f"--{flag} is missing: see --help")
    return values


def prepare_corpora(data: SimpleTTSData, folder: Path, prepare: Prepare) -> dict[str, Path]:
    """Prepare the corpora once, whatever the number of processes.

    Args:
        data: Names them.
        folder: What is made of each is written into a folder in this one.
        prepare: Prepares one.

    Returns:
        The data.list of "train", and of "eval", if there is one.

    Raises:
        ValueError: If one cannot be prepared; on all processes.
        OSError: If a file cannot be read or written; then a ValueError on the other processes.
    """
    given = {"train": data.data_path, "eval": data.eval_data_path}
    corpora = {name: Path(path) for name, path in given.items() if path}
    lists = {name: folder / name / LIST for name in corpora}
    state, num_threads = PartialState(), torch.get_num_threads()
    # Processes wait for each other for half an hour at most. A large corpus takes longer, also to
    # be checked when a run is continued. So they wait for a file, which has the name of this start.
    start, marker = decided_by_first(lambda: uuid4().hex), folder / PREPARED
    if state.is_main_process:
        try:
            lists = {name: prepare(path, folder / name, data) for name, path in corpora.items()}
        except BaseException:
            _mark(marker, f"{start}{_FAILED}")
            raise
        torch.set_num_threads(num_threads)  # preparing uses a thread for each recording
        _mark(marker, start)
    else:
        while not (marked := _marked(marker)).startswith(start):
            time.sleep(1)
        if marked.endswith(_FAILED):
            raise ValueError("the first process could not prepare the corpora: see what it says")
    state.wait_for_everyone()
    return lists


def _mark(marker: Path, text: str) -> None:
    marker.parent.mkdir(parents=True, exist_ok=True)
    write_whole(marker, lambda path: path.write_text(text, encoding="utf-8"))


def _marked(marker: Path) -> str:
    return marker.read_text(encoding="utf-8") if marker.is_file() else ""
