"""Finds out in which form recordings are given."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sled.data.corpora.items import Item
from sled.data.corpora.jsonl import read_jsonl
from sled.data.corpora.kaldi import read_kaldi
from sled.data.corpora.metadata_csv import read_metadata_csv
from sled.data.corpora.options import AUDIO_SUFFIXES
from sled.data.corpora.pairs import find_text, read_pairs

_FORMS = (
    "a folder with metadata.csv (a line: one|What it says.), with a text file beside each "
    "recording (one.wav and one.txt), or of Kaldi's form (wav.scp and text); or a file of JSON "
    "lines such as "
    '{"wav": "one.wav", "txt": "What it says."}'
)


def read_recordings(path: Path, needs_text: bool = True) -> Iterable[Item]:
    """Read the items of a corpus in any form of which `sled prepare` reads a folder or a file.

    Args:
        path: A folder or file, see the error.
        needs_text: Whether JSON lines without a text are malformed.

    Raises:
        ValueError: If it is of no known form.
    """
    if not path.exists():
        raise ValueError(f"no recordings at {path}: check the path")
    if path.is_file():
        name = path.name.lower()
        if name.endswith((".jsonl", ".jsonl.gz", ".json")):
            return read_jsonl([path], needs_text=needs_text)
        if name.endswith(".csv"):
            return read_metadata_csv(path)
        raise ValueError(f"{path} holds no recordings that can be read: give {_FORMS}")
    if (path / "metadata.csv").is_file():
        return read_metadata_csv(path)
    if (path / "wav.scp").is_file():
        return read_kaldi(path)
    lists = sorted([*path.glob("*.jsonl"), *path.glob("*.jsonl.gz")])
    if len(lists) == 1:
        return read_jsonl(lists, needs_text=needs_text)
    audio = [file for file in path.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES]
    if any(map(find_text, audio)):
        return read_pairs(path)
    found = f"{len(audio)} recordings without texts" if audio else "no recordings"
    if len(lists) > 1:
        found = f"several files of JSON lines ({', '.join(file.name for file in lists[:3])})"
    raise ValueError(f"{path} holds {found}: give {_FORMS}")
