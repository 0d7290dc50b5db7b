"""Voices by name: those in a folder, and presets of them."""

import shutil
from pathlib import Path

import pytest

from sled.serving.errors import ApiError
from sled.serving.voices.library import VoiceLibrary, make_record
from sled.serving.voices.presets import Preset
from sled.serving.voices.watched_folder import RESOLUTION_NS, WatchedFolder
from sled.streaming.voice import Prompt
from sled.tts import TTS
from tests.serving.conftest import tiny_tts
from tests.serving.voices.recordings import RATE, WORDS, tone

PRESETS = {"anna": Preset(voice="anna", speed=2.0), "calm": Preset(voice="anna", speed=0.5)}


@pytest.fixture(scope="module")
def tts() -> TTS:
    return tiny_tts()


@pytest.fixture
def folder(tts: TTS, tmp_path: Path) -> Path:
    """Holds an uploaded voice of the name anna."""
    voice = tts.make_voice(Prompt(WORDS, tone(), sample_rate=RATE))
    record = make_record("anna", "key", "agrees", "digest", "de", "")
    VoiceLibrary(tts, "own", tmp_path, {}).save(voice, record)
    return tmp_path


def test_a_list_looks_at_the_folder_once(
    tts: TTS, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look at a folder of many files takes milliseconds, in which no audio is sent."""
    library = VoiceLibrary(tts, "own", folder, PRESETS)
    looks = []
    has_changed = WatchedFolder.has_changed
    monkeypatch.setattr(
        WatchedFolder, "has_changed", lambda self: looks.append(self) or has_changed(self)
    )
    assert [entry.name for entry in library.values()] == ["own", "anna", "calm"]
    assert len(looks) == 1
    assert library.find("calm").pace(1.0) == 0.5
    assert len(looks) == 2


def test_a_preset_of_an_upload_is_no_upload(tts: TTS, folder: Path) -> None:
    """It has a name of its own, and its voice cannot be deleted by that."""
    library = VoiceLibrary(tts, "own", folder, PRESETS)
    (uploaded,) = library.uploaded
    for name in PRESETS:
        assert library[name].record is None
        assert library[name].path == uploaded.path
    assert library[uploaded.id] == uploaded
    library.remove(uploaded)
    assert list(library) == ["own"]
    with pytest.raises(ApiError, match="no voice"):
        library.find("calm")


def test_a_file_that_is_copied_slowly_is_found(
    tts: TTS, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder does not change any more when it is complete."""
    (complete,) = folder.glob("*.safetensors")
    slow = folder / "slow.safetensors"
    slow.write_bytes(complete.read_bytes()[:100])
    library = VoiceLibrary(tts, "own", folder, {})
    monkeypatch.setattr(
        "sled.serving.voices.watched_folder.RESOLUTION_NS", -RESOLUTION_NS
    )  # the folder counts as settled
    assert "slow" not in library
    shutil.copyfile(complete, slow)
    assert "slow" in library
