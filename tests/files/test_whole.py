"""Files are whole or absent, whenever writing stops."""

import os
from pathlib import Path

import pytest

from sled.files.whole import write_whole


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "state"
    path.write_text("old")
    seen: list[str] = []
    flush = os.fsync

    def watched(descriptor: int) -> None:
        seen.append(path.read_text())
        flush(descriptor)

    monkeypatch.setattr("os.fsync", watched)
    write_whole(path, lambda partial: partial.write_text("new"))
    assert (seen, path.read_text()) == (["old"], "new")
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_older_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("old")

    def full(partial: Path) -> None:
        partial.write_text("ne")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        write_whole(path, full)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
