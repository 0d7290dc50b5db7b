"""Corpora on disk: Lhotse cut manifests whose audio paths are relative to the manifest's folder."""

import os
from collections.abc import Iterator
from pathlib import Path

from lhotse import CutSet


def load_cuts(path: str | os.PathLike[str]) -> CutSet:
    """Load a cut manifest so that its audio is found from any working directory.

    Args:
        path: a `.jsonl` or `.jsonl.gz` cut manifest; relative audio paths in it are taken from
            the manifest's folder, absolute ones are kept.

    Raises:
        ValueError: no such manifest, nothing in it, or not a cut manifest.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no cut manifest at {path}: prepare the corpus first, or check the path")
    try:
        cuts = CutSet.from_file(path)
        is_empty = len(cuts) == 0
    except Exception as error:  # Lhotse parses by hand: broken lines end in errors of many types
        raise ValueError(
            f"{path} is not a readable cut manifest ({type(error).__name__}: {error}): "
            "expected Lhotse cuts as .jsonl or .jsonl.gz"
        ) from error
    if is_empty:
        raise ValueError(f"{path} holds no cuts: prepare the corpus again")
    return cuts.with_recording_path_prefix(path.parent)


def save_cuts(cuts: CutSet, path: str | os.PathLike[str]) -> None:
    """Write a cut manifest; it appears under its name only when it is complete."""
    path = Path(path)
    partial = path.with_name(f".partial.{path.name}")  # Lhotse tells the format by the name's end
    cuts.to_file(partial)
    os.replace(partial, path)


def read_texts(path: str | os.PathLike[str]) -> Iterator[str]:
    """Sentences of a text file, one a line, or of a cut manifest (.jsonl, .jsonl.gz).

    Raises:
        ValueError: no such file, a broken manifest, or a file that is no UTF-8 text.
    """
    path = Path(path)
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        for cut in load_cuts(path):
            yield from (supervision.text or "" for supervision in cut.supervisions)
        return
    if not path.is_file():
        raise ValueError(f"no text file at {path}: check the path")
    try:
        with path.open(encoding="utf-8") as file:
            yield from (line.rstrip("\n") for line in file)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: convert it first") from error
