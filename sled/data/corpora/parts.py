"""Checking a corpus in parts, so that an interrupted run continues where it stopped.

A part is a file with the results of some thousand items, one per line, in order. It appears when it
is complete. Its name contains a digest of the items, their files and the limits, so parts of a
changed corpus or of other limits are not reused. Rejected items are checked again, because their
audio may have been repaired.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from sled.data.corpora.checks import check_item
from sled.data.corpora.items import Item, Rejected
from sled.data.corpora.options import Limits
from sled.files.digest import source_of
from sled.files.progress import Progress, track

PART_SIZE = 2_000
# Items per task of a worker. Neighbours often share a recording, whose header the worker caches.
WORKER_CHUNK = 50

Check = Callable[[Item], "str | Rejected"]


class CheckedCut(NamedTuple):
    """A line of the manifest, and the properties that decide its split."""

    id: str
    text: str
    duration_s: float
    line: str


def check_parts(
    items: Iterable[Item],
    folder: Path,
    limits: Limits,
    root: Path,
    *,
    stop_at_bad: bool = False,
    num_workers: int = 0,
) -> tuple[list[Path], str]:
    """Check all items, except those that an earlier run accepted.

    Args:
        items: The corpus, read part by part.
        folder: Folder of the parts.
        limits: Limits of a plausible utterance.
        root: Folder of the manifest to be written.
        stop_at_bad: Whether a bad item ends the run.
        num_workers: Processes that check. 0: only this one.

    Returns:
        The parts, in the order of the items, and the digest of the items, as `digest_items` has it.

    Raises:
        ValueError: If an item is bad and `stop_at_bad` is true.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check = partial(check_item, limits=limits, root=root)
    total = len(items) if isinstance(items, Sized) else None
    source = iter(items)
    parts: list[Path] = []
    digest = _new_digest()
    with (
        _mapper(num_workers) as run,
        Progress("checking", total, "clip") as progress,
    ):
        while batch := list(islice(source, PART_SIZE)):
            _add(digest, batch)
            part = folder / f"{len(parts):06d}-{_digest(batch, limits, root)}.jsonl"
            known = _read_cuts(part) if part.is_file() else [None] * len(batch)
            open_items = [item for item, line in zip(batch, known, strict=True) if line is None]
            progress.advance(len(batch) - len(open_items))
            if open_items:
                results = _count(run(check, open_items), progress)
                merged = (next(results) if line is None else line for line in known)
                _write_part(part, merged, stop_at_bad)
            parts.append(part)
    return parts, digest.hexdigest()


def digest_items(items: Iterable[Item]) -> str:
    """Digest of all that a corpus says of its items; audio files are not read."""
    digest = _new_digest()
    for item in track(items, "reading", "item"):
        _add(digest, [item])
    return digest.hexdigest()


def read_parts(parts: Iterable[Path]) -> Iterator[CheckedCut | Rejected]:
    """Yield the results in order; a cut with the id of an earlier cut is rejected."""
    # A temporary database on disk, because millions of ids do not fit in memory.
    with closing(sqlite3.connect("")) as database:
        database.execute("CREATE TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID")
        for part in parts:
            with part.open(encoding="utf-8") as file:
                for line in file:
                    fields = json.loads(line)
                    if "reason" in fields:
                        yield Rejected(**fields)
                        continue
                    [supervision] = fields["supervisions"]
                    cut = CheckedCut(fields["id"], supervision["text"], fields["duration"], line)
                    added = database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (cut.id,))
                    if added.rowcount:
                        yield cut
                    else:
                        yield Rejected(cut.id, "duplicate_id", "an earlier one has the same id")


def _new_digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=12)


def _add(digest: hashlib.blake2b, items: Sequence[Item]) -> None:
    digest.update("".join(f"{item!r}\n" for item in items).encode())


def _digest(batch: Sequence[Item], limits: Limits, root: Path) -> str:
    files = [_file_of(item) for item in batch]
    return hashlib.blake2b(repr((limits, root, batch, files)).encode(), digest_size=12).hexdigest()


def _file_of(item: Item) -> str | None:
    """What tells whether an item's audio file has changed; None if there is none."""
    try:
        return None if isinstance(item, Rejected) else source_of(item.audio)
    except (OSError, ValueError):
        return None


def _read_cuts(part: Path) -> list[str | None]:
    """Lines of the manifest in a part, None for rejections."""
    with part.open(encoding="utf-8") as file:
        return [None if "reason" in json.loads(line) else line.rstrip("\n") for line in file]


def _write_part(part: Path, results: Iterable[str | Rejected], stop_at_bad: bool) -> None:
    partial_path = part.with_suffix(".partial")
    with partial_path.open("w", encoding="utf-8") as file:
        for result in results:
            if isinstance(result, Rejected):
                if stop_at_bad:
                    raise result.to_error()
                result = json.dumps(asdict(result))
            file.write(result + "\n")
    os.replace(partial_path, part)


def _count(results: Iterable[str | Rejected], progress: Progress) -> Iterator[str | Rejected]:
    for result in results:
        progress.advance()
        yield result


@contextmanager
def _mapper(
    num_workers: int,
) -> Iterator[Callable[[Check, Sequence[Item]], Iterable[str | Rejected]]]:
    """Yield a `map` that runs in this process or in worker processes."""
    if num_workers == 0:
        yield map
        return
    with ProcessPoolExecutor(num_workers) as pool:
        yield partial(pool.map, chunksize=WORKER_CHUNK)
