"""Packs a Kaldi folder, and the tables in it, as a corpus in Parquet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sled.data.tokens.folder import FolderUtterance, read_folder
from sled.data.tokens.header import read_header
from sled.data.tokens.parquet import (
    DATA_LIST,
    SPOKEN_COLUMN,
    TOKEN_COLUMNS,
    parquet_module,
)
from sled.data.tokens.tables import (
    SPEAKER_VECTORS,
    SPEECH_TOKENS,
    SPOKEN_TOKENS,
    UTTERANCE_VECTORS,
    Row,
    read_tokens,
    read_vectors,
)
from sled.files.digest import source_of
from sled.files.progress import Progress, track
from sled.files.whole import write_whole

UTTERANCES_PER_FILE = 1000
# In the metadata of a file: a digest of what it was made of.
_MADE_OF = b"sled.made_of"


@dataclass
class ParquetReport:
    """What was written.

    Attributes:
        files: The files, in order.
        utterances: Utterances in them.
        rejected: Why utterances were left out, by name.
    """

    files: list[Path]
    utterances: int
    rejected: dict[str, str]


def write_parquet(
    folder: Path,
    output: Path,
    *,
    num_utts: int = UTTERANCES_PER_FILE,
    num_processes: int = 1,
    preference: bool = False,
    skip_bad: bool = False,
) -> ParquetReport:
    """Pack a Kaldi folder, and the tables in it, as Parquet.

    Files of an earlier, interrupted run are kept if they hold the same utterances and tables, and
    the audio files have the size and the time that they had.

    Args:
        folder: The folder. Of the tables `utt2embedding.pt`, `spk2embedding.pt`,
            `utt2speech_token.pt` and `utt2spoken_token.pt`, those that exist become columns.
        output: Folder of the Parquet files and lists.
        num_utts: Utterances of a file.
        num_processes: Processes that write.
        preference: Add the column `reject_speech_token`, from the table in `<folder>_reject`.
        skip_bad: Leave out utterances whose audio is missing or cannot be trained on, or that lack
            a row of a table. Otherwise they are an error.

    Raises:
        ValueError: If the folder or a table cannot be used, or an utterance is bad.
    """
    parquet_module()
    if num_utts < 1 or num_processes < 1:
        raise ValueError(f"{num_utts} utterances a file, {num_processes} processes: both need 1")
    tables = _read_tables(folder, preference)
    rejected: dict[str, str] = {}
    good = _sort_out(read_folder(folder, rejected.__setitem__), tables, rejected)
    if rejected and not skip_bad:
        name, reason = next(iter(rejected.items()))
        raise ValueError(
            f"{name}: {reason} ({len(rejected)} such utterances in {folder}): complete the corpus, "
            "or leave them out with --on_bad skip"
        )
    if not good:
        name, reason = next(iter(rejected.items()))
        raise ValueError(
            f"none of {len(rejected)} utterances of {folder} can be packed, the first is {name}: "
            f"{reason}: complete the corpus, or extract its tables again"
        )
    output.mkdir(parents=True, exist_ok=True)
    parts = [good[first : first + num_utts] for first in range(0, len(good), num_utts)]
    files = [output / f"parquet_{number:09d}.tar" for number in range(len(parts))]
    jobs = {
        file: rows
        for file, part in zip(files, parts, strict=True)
        if not _is_complete(file, rows := [_fields(one, tables) for one in part])
    }
    with Progress("packing", len(files), "file", len(files) - len(jobs)) as progress:
        if num_processes == 1:
            for file, rows in jobs.items():
                _write_file(file, rows)
                progress.advance()
        else:
            with ProcessPoolExecutor(num_processes) as pool:
                started = [pool.submit(_write_file, file, rows) for file, rows in jobs.items()]
                for done in as_completed(started):
                    done.result()
                    progress.advance()
    _write_lists(output, files, parts)
    return ParquetReport(files, len(good), rejected)


_Tables = dict[str, dict[str, Row]]


def _read_tables(folder: Path, preference: bool) -> _Tables:
    readers = {
        "utt_embedding": (UTTERANCE_VECTORS, read_vectors),
        "spk_embedding": (SPEAKER_VECTORS, read_vectors),
        "speech_token": (SPEECH_TOKENS, read_tokens),
        SPOKEN_COLUMN: (SPOKEN_TOKENS, read_tokens),
    }
    tables = {
        column: read(folder / name)
        for column, (name, read) in readers.items()
        if (folder / name).is_file()
    }
    if preference:
        rejected = folder.with_name(f"{folder.name}_reject")
        tables["reject_speech_token"] = read_tokens(rejected / SPEECH_TOKENS)
    return tables


def _sort_out(
    utterances: Sequence[FolderUtterance], tables: _Tables, rejected: dict[str, str]
) -> list[FolderUtterance]:
    good = []
    for one in track(utterances, "checking", "utterance"):
        reason = _what_is_missing(one, tables)
        if reason:
            rejected[one.id] = reason
        else:
            good.append(one)
    return good


def _what_is_missing(one: FolderUtterance, tables: _Tables) -> str | None:
    if not one.audio.is_file():
        return f"no audio file {one.wav}"
    try:
        read_header(one.audio)
    except ValueError as error:
        return f"{error}, {one.wav}"
    for column, table in tables.items():
        if _key(column, one) not in table:
            return f"no {column} for {_key(column, one)}"
        if column in TOKEN_COLUMNS and not len(table[_key(column, one)]):
            return f"its {column} is empty"
    return None


def _key(column: str, one: FolderUtterance) -> str:
    return one.speaker if column == "spk_embedding" else one.id


def _fields(one: FolderUtterance, tables: _Tables) -> dict[str, Any]:
    """The columns of an utterance but for its audio."""
    fields: dict[str, Any] = {
        "utt": one.id,
        "audio": str(one.audio),
        "wav": one.wav,
        "text": one.text,
        "spk": one.speaker,
    }
    for column, table in tables.items():
        fields[column] = table[_key(column, one)]
    if one.instruct is not None:
        fields["instruct"] = one.instruct
    return fields


def _write_file(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    parquet = parquet_module()
    import pyarrow

    types: dict[str, Any] = {
        "utt": pyarrow.string(),
        "audio_data": pyarrow.binary(),
        "wav": pyarrow.string(),
        "text": pyarrow.string(),
        "spk": pyarrow.string(),
        "utt_embedding": pyarrow.list_(pyarrow.float64()),
        "spk_embedding": pyarrow.list_(pyarrow.float64()),
        "speech_token": pyarrow.list_(pyarrow.int64()),
        "reject_speech_token": pyarrow.list_(pyarrow.int64()),
        SPOKEN_COLUMN: pyarrow.list_(pyarrow.int64()),
        "instruct": pyarrow.string(),
    }
    made_of = _digest(rows)  # before the audio is read: if it changes meanwhile, it is packed again
    content = [{**row, "audio_data": Path(row["audio"]).read_bytes()} for row in rows]
    present = {name for row in content for name in row}
    table = pyarrow.table(
        {
            name: pyarrow.array([row.get(name) for row in content], kind)
            for name, kind in types.items()
            if name in present
        },
        metadata={_MADE_OF: made_of},
    )
    write_whole(path, partial(parquet.write_table, table))


def _is_complete(path: Path, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a file was made of these rows; of its content, nothing but the end is read."""
    parquet = parquet_module()
    import pyarrow

    if not path.is_file():
        return False
    try:
        found = parquet.read_schema(path).metadata or {}
    except (pyarrow.ArrowException, OSError):
        return False
    return bool(found.get(_MADE_OF) == _digest(rows))


def _digest(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A digest of rows; for their audio stand the size and the time of the file."""
    digest = hashlib.sha256()
    for row in rows:
        for name, value in row.items():
            if isinstance(value, np.ndarray):
                digest.update(f"{name} {value.dtype.str} {len(value)}\n".encode())
                digest.update(np.ascontiguousarray(value).data)
            else:
                digest.update(json.dumps([name, value]).encode() + b"\n")
        digest.update(source_of(Path(row["audio"])).encode() + b"\n")
    return digest.hexdigest().encode()


def _write_lists(
    output: Path, files: Sequence[Path], parts: Sequence[Sequence[FolderUtterance]]
) -> None:
    by_kind: dict[str, list[Path]] = {"utt": [], "spk": []}
    for number, (file, part) in enumerate(zip(files, parts, strict=True)):
        for kind, names in (
            ("utt", [one.id for one in part]),
            ("spk", list(dict.fromkeys(one.speaker for one in part))),
        ):
            path = output / f"{kind}2parquet_{number:09d}.json"
            _write_text(path, json.dumps(dict.fromkeys(names, str(file)), ensure_ascii=False))
            by_kind[kind].append(path)
    _write_text(output / DATA_LIST, _lines(files))
    for kind, paths in by_kind.items():
        _write_text(output / f"{kind}2data.list", _lines(paths))


def _lines(paths: Iterable[Path]) -> str:
    return "".join(f"{path}\n" for path in paths)


def _write_text(path: Path, text: str) -> None:
    write_whole(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))
