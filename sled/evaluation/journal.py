"""A journal of what has been done, so that a killed run goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Journal:
    """A file of JSON lines that only grows. A line that was cut off in writing does not count.

    Args:
        path: The file; it need not exist.
        key: Names of the fields that identify a record; of several with the same, the last counts.

    Raises:
        ValueError: If a line other than the last is broken.
    """

    def __init__(self, path: Path, key: tuple[str, ...]) -> None:
        self.path, self._key = path, key
        self._records: dict[tuple[Any, ...], Record] = {}
        content = path.read_bytes() if path.is_file() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                record = json.loads(line)
                self._records[self._key_of(record)] = record
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path}, line {number} is broken ({error}): delete the folder, and run again"
                ) from error

    def _key_of(self, record: Record) -> tuple[Any, ...]:
        return tuple(record[name] for name in self._key)

    def __contains__(self, key: tuple[Any, ...]) -> bool:
        return key in self._records

    def __getitem__(self, key: tuple[Any, ...]) -> Record:
        return self._records[key]

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def append(self, records: Iterable[Record]) -> None:
        """Add records at once; they are on the disk when this returns."""
        records = list(records)
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        with self.path.open("ab") as file:
            file.write(lines.encode())
            file.flush()
            os.fsync(file.fileno())
        self._records.update((self._key_of(record), record) for record in records)
