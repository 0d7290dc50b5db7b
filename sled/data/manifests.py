"""Corpora on disk: Lhotse cut manifests whose audio paths are relative to the manifest's folder."""

import gzip
import hashlib
import os
import zlib
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.serialization import decode_json_line, deserialize_item


class Manifest:
    """The cuts of a `.jsonl` or `.jsonl.gz` file, read anew whenever they are iterated.

    Nothing is held in memory, and lines that are not wanted need not be parsed, which takes most
    of the time.
    """

    def __init__(self, path: Path, data_path: Path | None = None) -> None:
        self.path = path
        self.data_path = data_path or path.parent

    def __iter__(self) -> Iterator[Cut]:
        return map(self.parse, self.lines())

    def __len__(self) -> int:
        """Reads the whole file."""
        return sum(1 for _ in self.lines())

    def lines(self) -> Iterator[bytes]:
        """The lines, stripped; blank ones are left out.

        Raises:
            ValueError: The file cannot be read, or not to its end.
        """
        try:
            with (
                gzip.open(self.path) if self.path.suffix == ".gz" else self.path.open("rb") as file
            ):
                for line in file:
                    if line := line.strip():
                        yield line
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{self.path} cannot be read ({error}): prepare it again") from error

    def parse(self, line: bytes) -> Cut:
        """The cut of a line; its relative audio paths are taken from `data_path`.

        Raises:
            ValueError: Not a cut.
        """
        try:
            cut = deserialize_item(decode_json_line(line))
            if not isinstance(cut, Cut):
                raise TypeError(f"a {type(cut).__name__} is no cut")
        except (
            Exception
        ) as error:  # Lhotse parses by hand: broken lines end in errors of many types
            raise ValueError(
                f"{self.path} is not a readable cut manifest ({type(error).__name__}: {error}, at "
                f"{line[:60].decode(errors='replace')!r}): "
                "expected Lhotse cuts as .jsonl or .jsonl.gz"
            ) from error
        return cut.with_recording_path_prefix(self.data_path)


def load_cuts(path: str | os.PathLike[str], data_path: Path | None = None) -> CutSet:
    """Open a cut manifest, lazily, so that its audio is found from any working directory.

    Args:
        path: a `.jsonl` or `.jsonl.gz` cut manifest of any size.
        data_path: where relative audio paths in it start from; None: the manifest's folder.

    Raises:
        ValueError: no such manifest, nothing in it, or not a cut manifest. Only the first cut is
            looked at; a later one that is broken is named when it is reached.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no cut manifest at {path}: prepare the corpus first, or check the path")
    manifest = Manifest(path, data_path)
    if next(iter(manifest), None) is None:
        raise ValueError(f"{path} holds no cuts: prepare the corpus again")
    return CutSet(manifest)


def fingerprint(cuts: CutSet) -> tuple[int, str]:
    """Count the cuts, and digest (SHA-256) all that is said of them, in their order."""
    if isinstance(cuts.data, Manifest):
        lines = cuts.data.lines()
    else:
        lines = (repr(cut.to_dict()).encode() for cut in cuts)
    digest, count = hashlib.sha256(), 0
    for line in lines:
        digest.update(line + b"\n")
        count += 1
    return count, digest.hexdigest()


def cuts_of_groups(cuts: CutSet, size: int, wanted: Collection[int]) -> Iterator[tuple[int, Cut]]:
    """Divide cuts into groups of `size`, in order, and give those of the groups wanted.

    Cuts of other groups cost little: they are passed over unparsed if they come from a manifest.

    Returns:
        Pairs of the group's number and a cut of it.
    """
    manifest = cuts.data if isinstance(cuts.data, Manifest) else None
    items = iter(cuts) if manifest is None else manifest.lines()
    for index, item in enumerate(islice(items, size * (max(wanted, default=-1) + 1))):
        if (group := index // size) in wanted:
            yield group, item if manifest is None else manifest.parse(item)


def check_manifest_writable(path: Path) -> None:
    """Tell before any work is done whether a cut manifest could be written.

    Raises:
        ValueError: If its name has another suffix, or its folder is not there or not writable.
    """
    if not path.name.endswith((".jsonl", ".jsonl.gz")) or path.is_dir():
        raise ValueError(f"cannot write {path}: name a .jsonl or .jsonl.gz file")
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {path}: no folder {path.parent}: create it first")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"cannot write {path}: {path.parent} is not yours to write to")


def save_cuts(cuts: CutSet, path: str | os.PathLike[str]) -> None:
    """Write a cut manifest; it appears under its name only when it is complete."""
    path = Path(path)
    partial = path.with_name(f".partial.{path.name}")  # Lhotse tells the format by the name's end
    try:
        cuts.to_file(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def with_relative_audio(cut: Cut, folder: Path) -> Cut:
    """A cut for a manifest in this folder: audio in it is named relative to it, other absolutely.

    Args:
        cut: Its audio is found from the working directory, as in cuts from `load_cuts`.
        folder: Where the manifest will lie.
    """
    root = folder.absolute()
    sources = []
    for source in cut.recording.sources:
        if source.type == "file":
            path = Path(source.source).absolute()
            path = path.relative_to(root) if path.is_relative_to(root) else path
            source = replace(source, source=path.as_posix())
        sources.append(source)
    return replace(cut, recording=replace(cut.recording, sources=sources))


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
