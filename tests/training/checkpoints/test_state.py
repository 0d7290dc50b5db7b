"""The state of a run is whole, or is told to be damaged."""

from pathlib import Path

import pytest
import torch

from sled.training.checkpoints.saving import publish_folder
from sled.training.checkpoints.state import load_state, save_state


def test_a_state_is_read_as_it_was_written_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_state({"step": 3, "weights": torch.ones(2)}, path)
    state = load_state(path)
    assert state["step"] == 3 and state["weights"].equal(torch.ones(2))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"state\.pt cannot be read"):
        load_state(path)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch) -> None:
    def full(state: object, path: Path) -> None:
        raise RuntimeError("unexpected pos 64 vs 0")

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(OSError, match="free space"):
        save_state({}, tmp_path / "state.pt")


def test_a_folder_is_replaced_before_the_older_one_is_removed(tmp_path: Path, monkeypatch) -> None:
    """A kill during the removal leaves the new one."""
    staged, target = tmp_path / ".partial" / "checkpoint-2", tmp_path / "checkpoint-2"
    for folder, text in ((staged, "new"), (target, "old")):
        folder.mkdir(parents=True)
        (folder / "weights").write_text(text)

    def killed(*args: object, **kwargs: object) -> None:
        raise AssertionError("nothing is removed here")

    monkeypatch.setattr("shutil.rmtree", killed)
    publish_folder(staged, target)
    assert (target / "weights").read_text() == "new"
