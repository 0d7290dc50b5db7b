"""Manifests and their audio load from any working directory."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

from sled.data.manifests import load_cuts, read_texts, save_cuts


def make_corpus(folder: Path, texts: list[str]) -> Path:
    """A manifest with relative audio paths, one tenth of a second of noise per text."""
    cuts = []
    for index, text in enumerate(texts):
        name = f"clip-{index}"
        samples = np.random.default_rng(index).uniform(-0.5, 0.5, 2_400)
        soundfile.write(folder / f"{name}.flac", samples, 24_000)
        recording = Recording.from_file(folder / f"{name}.flac", recording_id=name)
        recording.sources[0].source = f"{name}.flac"
        supervision = SupervisionSegment(name, name, 0.0, 0.1, text=text)
        cuts.append(MonoCut(name, 0.0, 0.1, 0, [supervision], recording=recording))
    save_cuts(CutSet.from_cuts(cuts), folder / "cuts.jsonl.gz")
    return folder / "cuts.jsonl.gz"


def test_audio_is_found_from_any_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = make_corpus(tmp_path, ["four two", "seven"])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for path in (manifest, Path("..") / manifest.name):
        cuts = load_cuts(path)
        assert [cut.load_audio().shape for cut in cuts] == [(1, 2_400)] * 2


def test_absolute_audio_paths_are_kept(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, ["four"])
    moved = tmp_path / "moved" / "cuts.jsonl"
    moved.parent.mkdir()
    save_cuts(load_cuts(manifest.absolute()), moved)
    assert next(iter(load_cuts(moved))).load_audio().shape == (1, 2_400)


def test_bad_manifests_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.jsonl").write_text('{"id": "a", \n')
    (tmp_path / "foreign.jsonl").write_text('{"name": "not a cut"}\n')
    (tmp_path / "not_gzip.jsonl.gz").write_text("plain text")
    (tmp_path / "empty.jsonl").write_text("")
    with gzip.open(tmp_path / "empty.jsonl.gz", "wt"):
        pass
    names = ["none.jsonl", *(path.name for path in tmp_path.iterdir())]
    assert len(names) == 6
    for name in names:
        with pytest.raises(ValueError, match=name) as caught:
            load_cuts(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_texts_come_from_manifests_and_from_text_files(tmp_path: Path) -> None:
    texts = ["four two", "seven", "naïve"]
    (tmp_path / "lines.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    assert list(read_texts(tmp_path / "lines.txt")) == texts
    assert list(read_texts(make_corpus(tmp_path, texts))) == texts


def test_unusable_text_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("naïve".encode("latin-1"))
    for name, reason in {"latin.txt": "UTF-8", "none.txt": "check the path"}.items():
        with pytest.raises(ValueError, match=reason):
            list(read_texts(tmp_path / name))
