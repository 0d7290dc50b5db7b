"""Corpora in Parquet, as CosyVoice's tools write and read them.

A corpus is a folder of files with up to 1000 utterances each, `data.list`, which names the files,
and JSON files that tell in which file an utterance or a speaker is. The files are called `.tar`,
but they are Parquet. A row holds the bytes of the audio file, the text, and, if they were
extracted, speaker vectors and speech tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sled.data.tokens.tables import Row
from sled.files.extras import install_command

DATA_LIST = "data.list"
# Rows that are read at a time.
_ROWS = 64
_LINE = "\n"

OnBadRow = Callable[[str, str], None]
"""Told of a row that cannot be used: its name, and the reason."""

# Columns of arrays.
VECTOR_COLUMNS = ("utt_embedding", "spk_embedding")
TOKEN_COLUMNS = ("speech_token", "reject_speech_token")
SPOKEN_COLUMN = "spoken_token"
_OPTIONAL = (*VECTOR_COLUMNS, *TOKEN_COLUMNS, SPOKEN_COLUMN, "instruct")
# Names of columns, and how a fork calls them.
_OTHER_NAMES = {
    "utt": "utt_id",
    "audio_data": "audio",
    "utt_embedding": "embedding",
    "spk_embedding": "embedding",
}


@dataclass(frozen=True, eq=False)
class TokenRow:
    """An utterance of a corpus; what is not in the corpus is None.

    Attributes:
        utt: Its name.
        audio: The bytes of an audio file, or mono samples, float32 [S].
        sample_rate: Rate of such samples, in Hz.
        text: What it says.
        spk: Name of the speaker.
        utt_embedding: Speaker vector of the utterance, float64 [width].
        spk_embedding: Mean vector of the speaker.
        speech_token: Speech tokens, int64 [T].
        reject_speech_token: Tokens of a worse reading, for preference training.
        spoken_token: The text token that is said in each speech token, int64 [T] positions in the
            text, where its number of tokens stands for its end; -1 where it is not known.
        instruct: How it is said.
    """

    utt: str
    audio: bytes | np.ndarray
    text: str
    spk: str
    sample_rate: int | None = None
    utt_embedding: Row | None = None
    spk_embedding: Row | None = None
    speech_token: Row | None = None
    reject_speech_token: Row | None = None
    spoken_token: Row | None = None
    instruct: str | None = None


def read_data_list(*paths: Path) -> list[Path]:
    """Read the Parquet files that lists name.

    A path in a list starts from the working directory, or else from the folder of the list.

    Raises:
        ValueError: If a list is missing or empty, or names files that are not there.
    """
    files, lost = [], []
    for path in paths:
        if not path.is_file():
            raise ValueError(f"no list of Parquet files at {path}: check the path")
        for line in filter(None, map(str.strip, path.read_text(encoding="utf-8").splitlines())):
            candidates = (Path(line), path.parent / line, path.parent / Path(line).name)
            found = next((file for file in candidates if file.is_file()), None)
            if found is None:
                lost.append(line)
            else:
                files.append(found)
    if lost:
        raise ValueError(
            f"{len(lost)} of {len(lost) + len(files)} files that {paths[0]} names are not there, "
            f"the first is {lost[0]}: make the list again, or correct its paths"
        )
    if not files:
        raise ValueError(f"{paths[0]} names no files: make it again")
    return files


def read_rows(path: Path, on_bad: OnBadRow | None = None) -> Iterator[TokenRow]:
    """Yield the rows of a Parquet file.

    Args:
        path: The file.
        on_bad: Told of each malformed row, which is left out then. None: such a row is an error.

    Raises:
        ValueError: If it is no Parquet file, lacks a column that every row needs, or a row is
            malformed.
    """
    for number, fields in enumerate(_read_fields(path)):
        try:
            row = _make_row(fields())
        except (ValueError, TypeError, OverflowError) as error:
            reason = f"row {number} is malformed ({str(error).partition(_LINE)[0]})"
            if on_bad is None:
                raise ValueError(f"{path}: {reason}: make it again") from error
            on_bad(f"row {number}", reason)
        else:
            yield row


def _read_fields(path: Path) -> Iterator[Callable[[], dict[str, Any]]]:
    """Yield functions that return the fields of each row, or raise ValueError if they cannot."""
    parquet = parquet_module()
    import pyarrow

    try:
        file = parquet.ParquetFile(path)
        columns = set(file.schema_arrow.names)
        found = {
            name: name if name in columns else _OTHER_NAMES.get(name, name)
            for name in ("utt", "audio_data", "text", "spk", *_OPTIONAL, "sample_rate")
        }
        missing = [name for name in ("utt", "audio_data", "text") if found[name] not in columns]
        if missing:
            raise ValueError(f"it has no column {' nor '.join(missing)}")
        wanted = sorted(columns & set(found.values()))
        for batch in file.iter_batches(_ROWS, columns=wanted):
            for place in range(len(batch)):
                yield partial(_fields_of, batch, place, found)
    except (pyarrow.ArrowException, OSError, ValueError, TypeError) as error:
        reason = str(error).partition(_LINE)[0]
        raise ValueError(
            f"{path} is no Parquet file of a speech corpus ({reason}): make it again"
        ) from error


def _fields_of(batch: Any, place: int, found: Mapping[str, str]) -> dict[str, Any]:
    [fields] = batch.slice(place, 1).to_pylist()
    return {name: fields.get(column) for name, column in found.items()}


def _make_row(fields: Mapping[str, Any]) -> TokenRow:
    if fields["utt"] is None:
        raise ValueError("it has no utt")
    audio, utt = fields["audio_data"], str(fields["utt"])
    if fields["sample_rate"] is not None:
        samples = np.frombuffer(audio, np.float32) if isinstance(audio, bytes) else audio
        audio = np.asarray(samples, np.float32).reshape(-1)
    arrays: dict[str, Any] = {
        name: None if fields[name] is None else np.asarray(fields[name], kind).reshape(-1)
        for names, kind in (
            (VECTOR_COLUMNS, np.float64),
            ((*TOKEN_COLUMNS, SPOKEN_COLUMN), np.int64),
        )
        for name in names
    }
    return TokenRow(
        utt=utt,
        audio=audio,
        text=str(fields["text"] or ""),
        spk=str(fields["spk"] or utt.partition("_")[0]),
        sample_rate=fields["sample_rate"],
        instruct=fields["instruct"],
        **arrays,
    )


def parquet_module() -> Any:
    """Import pyarrow's module for Parquet.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(f"Parquet needs pyarrow: run {install_command('tokens')}") from error
    return pyarrow.parquet
