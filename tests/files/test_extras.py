"""Commands that install extras."""

import shlex
from pathlib import Path

import pytest

from sled.files import extras

ROOT = Path(__file__).parents[2]


def test_a_checkout_is_named_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert extras.install_command("eval") == "pip install -e '.[eval]'"
    monkeypatch.chdir(tmp_path)
    *_, target = shlex.split(extras.install_command("eval"))
    assert (Path(target.removesuffix("[eval]")) / "setup.py").is_file()


def test_elsewhere_the_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An index may have another package called sled."""
    monkeypatch.setattr(extras, "ROOT", tmp_path)
    words = shlex.split(extras.install_command("eval"))
    assert words[:2] == ["pip", "install"]
    assert {word.split(">")[0] for word in words[2:]} == {"jiwer", "faster-whisper"}
