"""What an extraction has done: its table, a report beside it, and a journal while it works.

The report tells with what the rows of the table were made, and the size and time of the recording
that each was made of. It is written before the table, and the journal is deleted after it. So
whenever a run is interrupted, the next one finds every row with the recording that it belongs to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch

from sled.data.tokens.tables import SEMANTIC, Row
from sled.files.json_object import read_json_object
from sled.files.whole import write_whole


@dataclass
class Finished:
    """Rows that are known.

    Attributes:
        rows: By name.
        sources: Of which recording each was made, see `source_of`; by name.
        is_stored: Whether the table has exactly these rows.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    is_stored: bool = False

    def add(self, name: str, row: Row, source: str) -> None:
        """Add a row that the table does not have."""
        self.rows[name], self.sources[name] = row, source
        self.is_stored = False

    def drop_changed(self, sources: Mapping[str, str]) -> int:
        """Drop rows of recordings that are others now; returns how many."""
        changed = [
            name
            for name in self.rows
            if name in sources and self.sources.get(name) != sources[name]
        ]
        for name in changed:
            del self.rows[name]
            self.sources.pop(name, None)
        self.is_stored = self.is_stored and not changed
        return len(changed)


def read_finished(output: Path, made_with: str, sources: Mapping[str, str]) -> Finished:
    """Read the rows of earlier runs: of a table, and of a journal.

    Args:
        output: The table.
        made_with: What computes.
        sources: Of the recordings as they are now. Tables of earlier versions do not tell of which
            they were made; it is taken to be these.

    Raises:
        ValueError: If the table was made with something else.
    """
    finished = Finished()
    if output.is_file():
        report = report_of(output)
        told = read_json_object(report) if report.is_file() else {}
        if told.get("made_with") != made_with:
            raise ValueError(
                f"{output} was made with something else, or not by this command: delete it, or "
                "write to another folder"
            )
        stored = torch.load(output, map_location="cpu", weights_only=True)
        # Of two codebooks, this command extracts one.
        plain = {
            name: row[SEMANTIC] if isinstance(row, dict) else row for name, row in stored.items()
        }
        finished.rows |= {name: np.asarray(row) for name, row in plain.items()}
        known = told.get("sources", sources)
        finished.sources |= {name: known[name] for name in finished.rows if name in known}
        finished.is_stored = True
    journal = journal_of(output)
    if journal.is_file():
        first, *lines = _whole_lines(journal) or [{}]
        if first.get("made_with") == made_with:
            for line in lines:
                if "row" in line:
                    finished.add(line["name"], np.asarray(line["row"]), line["source"])
                else:  # of an earlier version
                    [(name, row)] = line.items()
                    finished.add(name, np.asarray(row), sources.get(name, ""))
        else:
            journal.unlink()
    return finished


def _whole_lines(journal: Path) -> list[dict[str, Any]]:
    """The objects of a journal, without a last one that was not written to its end."""
    lines = []
    for line in journal.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


@contextmanager
def open_journal(output: Path, made_with: str, finished: Finished) -> Iterator[TextIO]:
    """Open the journal for further rows; it begins with those that are known."""
    journal = journal_of(output)
    if journal.is_file():  # written again, because its last line may be incomplete
        partial = journal.with_name(f"{journal.name}.part")
        with partial.open("w", encoding="utf-8") as file:
            file.write(_first_line(made_with))
            for name, row in finished.rows.items():
                file.write(journal_line(name, row, finished.sources.get(name, "")))
        os.replace(partial, journal)
    else:
        journal.write_text(_first_line(made_with), encoding="utf-8")
    with journal.open("a", encoding="utf-8", buffering=1) as file:
        yield file


def _first_line(made_with: str) -> str:
    return json.dumps({"made_with": made_with}) + "\n"


def journal_line(name: str, row: Row, source: str) -> str:
    """The line of a row."""
    return json.dumps({"name": name, "source": source, "row": row.tolist()}) + "\n"


def write_report(output: Path, content: Mapping[str, Any]) -> None:
    """Write the report of a table, as JSON. It appears under its name when it is complete."""
    path = report_of(output)
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def journal_of(output: Path) -> Path:
    """The journal of a table."""
    return output.with_name(f".{output.name}.journal")


def report_of(output: Path) -> Path:
    """The report of a table."""
    return output.with_suffix(".json")
