"""A JSON file in a folder of derived data that records what the data was made from.

Processes that write to the same folder compare their records, and readers check that the data fits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

Record = TypeVar("Record")


def keep_record(path: Path, record: Any) -> None:
    """Write a record atomically, unless there is one."""
    assert is_dataclass(record) and not isinstance(record, type)
    if path.is_file():
        return
    with TemporaryDirectory(prefix="partial.", dir=path.parent) as partial:
        draft = Path(partial) / path.name
        draft.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
        draft.replace(path)


def read_record(path: Path, kind: type[Record]) -> Record:
    """Read a record.

    Raises:
        OSError: If there is none, or it cannot be read.
        ValueError: If another version of the software wrote it.
    """
    try:
        return kind(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not of this version ({error})") from error


def refuse_differences(path: Path, recorded: Any, facts: Mapping[str, Any], remedy: str) -> None:
    """Compare the record of a folder with the expected values.

    Args:
        path: File of the record.
        recorded: The record.
        facts: Expected values, by field.
        remedy: What the user can do about a difference; part of the error message.

    Raises:
        ValueError: If values differ; the error names all of them.
    """
    differences = [
        f"{name} {str(found)[:12]}, not {str(fact)[:12]}"
        for name, fact in facts.items()
        if (found := getattr(recorded, name)) != fact
    ]
    if differences:
        raise ValueError(f"{path.parent} was made with {', '.join(differences)}: {remedy}")
