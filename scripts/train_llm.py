#!/usr/bin/env python
"""Train the language model of SimpleTTS with the published flags.

Start it with torchrun. The same command continues an interrupted run. The whole recipe is in
runs/simpletts.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sled.cli.main import guard

if TYPE_CHECKING:
    from sled.training.tokens.simpletts_flags import SimpleTTSData


def prepare(lines: Path, folder: Path, data: "SimpleTTSData") -> Path:
    """Make Parquet of JSON lines; each step continues where it was interrupted."""
    from sled.cli.main import main

    parquet = folder / "parquet"
    for command in (
        ["prepare", "kaldi-folder", "--input", str(lines), "--output", str(folder)],
        ["cache", "embeddings", "--input", str(folder), "--encoder", data.campplus_onnx_path],
        ["cache", "tokens", "--input", str(folder), "--tokenizer", data.speech_tokenizer],
        ["cache", "parquet", "--input", str(folder), "--output", str(parquet)],
    ):
        status = main([*command, "--on_bad", "skip"])
        if status:
            raise SystemExit(status)
    return parquet / "data.list"


def run() -> None:
    """Train as the flags say."""
    from sled.training.tokens.simpletts_flags import train_simpletts

    train_simpletts(prepare, None, __doc__)


if __name__ == "__main__":
    raise SystemExit(guard(run))
