"""Lhotse cut manifests, whose audio paths are relative to the folder of the manifest."""

import gzip
import hashlib
import os
import zlib
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath

from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.serialization import decode_json_line, deserialize_item


class Manifest:
    """The cuts of a `.jsonl` or `.jsonl.gz` file, read from the file at each iteration.

    Cuts are not kept in memory. Lines that are not needed are not parsed, and parsing takes most of
    the time.

    Args:
        path: The manifest.
        data_path: Folder that relative audio paths start from. None: the folder of the manifest.
    """

    def __init__(self, path: Path, data_path: Path | None = None) -> None:
        self.path = path
        self.data_path = data_path or path.parent

    def __iter__(self) -> Iterator[Cut]:
        return map(self.parse, self.lines())

    def __len__(self) -> int:
        """Number of cuts; reads the whole file."""
        return sum(1 for _ in self.lines())

    def lines(self) -> Iterator[bytes]:
        """Yield the lines, stripped and without blank ones.

        Raises:
            ValueError: If the file cannot be read to its end.
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
        """Parse one line; relative audio paths start from `data_path`.

        Raises:
            ValueError: If the line is not a cut.
        """
        try:
            cut = deserialize_item(decode_json_line(line))
            if not isinstance(cut, Cut):
                raise TypeError(f"a {type(cut).__name__} is not a cut")
        except Exception as error:  # Lhotse raises errors of many types for broken lines
            raise ValueError(
                f"{self.path} is not a readable cut manifest ({type(error).__name__}: {error}, at "
                f"{line[:60].decode(errors='replace')!r}): "
                "expected Lhotse cuts as .jsonl or .jsonl.gz"
            ) from error
        return cut.with_recording_path_prefix(self.data_path)


def load_cuts(path: str | os.PathLike[str], data_path: Path | None = None) -> CutSet:
    """Open a cut manifest lazily. Its audio is found from any working directory.

    Args:
        path: A `.jsonl` or `.jsonl.gz` cut manifest of any size.
        data_path: Folder that relative audio paths start from. None: the folder of the manifest.

    Raises:
        ValueError: If there is no such manifest, it is empty, or it holds no cuts. Only the first
            cut is parsed here; an error in a later line is raised when that line is reached.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no cut manifest at {path}: prepare the corpus first, or check the path")
    manifest = Manifest(path, data_path)
    if next(iter(manifest), None) is None:
        raise ValueError(f"{path} holds no cuts: prepare the corpus again")
    return CutSet(manifest)


def manifest_name(cuts: CutSet) -> str:
    """Path of the manifest that cuts come from; "the corpus" if they come from elsewhere."""
    return str(cuts.data.path) if isinstance(cuts.data, Manifest) else "the corpus"


def fingerprint(cuts: CutSet) -> tuple[int, str]:
    """Count the cuts and compute a SHA-256 digest of their contents, in order."""
    if isinstance(cuts.data, Manifest):
        lines = cuts.data.lines()
    else:
        lines = (repr(cut.to_dict()).encode() for cut in cuts)
    digest, count = hashlib.sha256(), 0
    for line in lines:
        digest.update(line + b"\n")
        count += 1
    return count, digest.hexdigest()


def can_name_files(cut_id: str) -> bool:
    """Whether an id can be the name of files in shards, and be read from it again.

    It may have folders, as `speaker/one`. A blank id, `speaker/`, `./one` and `a//one` cannot.
    """
    path = PurePosixPath(f"{cut_id}.npy")
    return str(path.parent / path.stem) == cut_id and "\0" not in cut_id


def check_cut_id(cut_id: str) -> None:
    """Check that codes can be stored under an id.

    Raises:
        ValueError: If it cannot be the name of files.
    """
    if not can_name_files(cut_id):
        raise ValueError(f"cut {cut_id!r}: its id cannot be the name of a file: rename it")


def cuts_of_groups(cuts: CutSet, size: int, wanted: Collection[int]) -> Iterator[tuple[int, Cut]]:
    """Divide cuts into consecutive groups of `size` and yield the cuts of some groups.

    Cuts of other groups are cheap: they are skipped unparsed if they come from a manifest.

    Args:
        cuts: The corpus.
        size: Cuts per group.
        wanted: Numbers of the groups to yield.

    Yields:
        Pairs of a group's number and one of its cuts.
    """
    manifest = cuts.data if isinstance(cuts.data, Manifest) else None
    items = iter(cuts) if manifest is None else manifest.lines()
    for index, item in enumerate(islice(items, size * (max(wanted, default=-1) + 1))):
        if (group := index // size) in wanted:
            yield group, item if manifest is None else manifest.parse(item)


def check_manifest_writable(path: Path) -> None:
    """Check that a cut manifest could be written, before any work is done.

    Raises:
        ValueError: If the suffix is wrong, or the folder is missing or not writable.
    """
    if not path.name.endswith((".jsonl", ".jsonl.gz")) or path.is_dir():
        raise ValueError(f"cannot write {path}: name a .jsonl or .jsonl.gz file")
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {path}: no folder {path.parent}: create it first")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"cannot write {path}: {path.parent} is not yours to write to")


def save_cuts(cuts: CutSet, path: str | os.PathLike[str]) -> None:
    """Write a cut manifest. It appears under its name only when it is complete."""
    path = Path(path)
    partial = path.with_name(f".partial.{path.name}")  # Lhotse derives the format from the suffix
    try:
        cuts.to_file(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def with_relative_audio(cut: Cut, folder: Path) -> Cut:
    """Return a cut for a manifest in `folder`, with paths to audio in that folder made relative.

    Audio elsewhere keeps an absolute path.

    Args:
        cut: A cut whose audio is found from the working directory, such as one from `load_cuts`.
        folder: Folder of the manifest that will be written.
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
    """Yield the sentences of a text file (one per line) or of a cut manifest (.jsonl, .jsonl.gz).

    Raises:
        ValueError: If the file is missing, a manifest is broken, or a text file is not UTF-8.
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
