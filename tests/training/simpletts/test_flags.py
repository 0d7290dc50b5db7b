"""Corpora are prepared by one process, for which the others wait however long it takes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from sled.training.simpletts import flags
from sled.training.simpletts.flags import LIST, PREPARED, SimpleTTSData, prepare_corpora

DATA = SimpleTTSData(data_path="train.jsonl")


def prepare(lines: Path, folder: Path, data: SimpleTTSData) -> Path:
    made = folder / LIST
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text("parquet.tar")
    return made


def test_other_processes_wait_for_this_start_and_not_for_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier start has made is there already, and is being checked."""
    prepare_corpora(DATA, tmp_path, prepare)
    earlier = (tmp_path / PREPARED).read_text()
    monkeypatch.setattr(flags, "decided_by_first", lambda decide: "this start")
    events: list[str] = []

    other = SimpleNamespace(
        is_main_process=False, wait_for_everyone=lambda: events.append("barrier")
    )
    monkeypatch.setattr(flags, "PartialState", lambda: other)

    def sleep(seconds: float) -> None:
        events.append("waits")
        assert (tmp_path / PREPARED).read_text() == earlier
        if len(events) == 3:
            (tmp_path / PREPARED).write_text("this start")

    monkeypatch.setattr(flags.time, "sleep", sleep)
    lists = prepare_corpora(DATA, tmp_path, prepare)
    assert events == ["waits"] * 3 + ["barrier"]
    assert lists == {"train": tmp_path / "train" / LIST}
    monkeypatch.undo()
    prepare_corpora(DATA, tmp_path, prepare)
    assert (tmp_path / PREPARED).read_text() not in (earlier, "this start")


def test_other_processes_do_not_wait_for_a_first_one_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flags, "decided_by_first", lambda decide: "this start")

    def fails(lines: Path, folder: Path, data: SimpleTTSData) -> Path:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        prepare_corpora(DATA, tmp_path, fails)
    monkeypatch.setattr(flags, "PartialState", lambda: SimpleNamespace(is_main_process=False))
    with pytest.raises(ValueError, match="first process could not prepare"):
        prepare_corpora(DATA, tmp_path, prepare)
    monkeypatch.undo()
    assert prepare_corpora(DATA, tmp_path, prepare)  # the next start
