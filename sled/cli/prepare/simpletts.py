"""The corpora of SimpleTTS's training commands: JSON lines, packed as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sled.training.simpletts.flags import SimpleTTSData


def pack_json_lines(lines: Path, folder: Path, data: SimpleTTSData) -> Path:
    """Make Parquet of JSON lines with texts; each step continues where it was interrupted.

    Args:
        lines: The corpus.
        folder: Where its tables and its Parquet are written.
        data: Names the speaker encoder and the speech tokenizer.

    Returns:
        Its data.list.

    Raises:
        SystemExit: If a step fails; it has told why.
    """
    return _pack(lines, folder, data)


def pack_recordings(lines: Path, folder: Path, data: SimpleTTSData) -> Path:
    """Make Parquet of JSON lines that need no texts; see `pack_json_lines`."""
    return _pack(lines, folder, data, "--without_text")


def _pack(lines: Path, folder: Path, data: SimpleTTSData, *flags: str) -> Path:
    from sled.cli.main import main

    parquet = folder / "parquet"
    for command in (
        ["prepare", "kaldi-folder", "--input", str(lines), "--output", str(folder), *flags],
        ["cache", "embeddings", "--input", str(folder), "--encoder", data.campplus_onnx_path],
        ["cache", "tokens", "--input", str(folder), "--tokenizer", data.speech_tokenizer],
        ["cache", "parquet", "--input", str(folder), "--output", str(parquet)],
    ):
        status = main([*command, "--on_bad", "skip"])
        if status:
            raise SystemExit(status)
    return parquet / "data.list"
