"""Voices that come with a checkpoint: recordings and transcripts in its folder `voices`."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sled.decoding import DecodingOptions
from sled.files.recorded_voices import recorded_voices
from sled.serving.voices.library import VoiceLibrary
from sled.streaming.voice import Prompt
from sled.training.export import export
from sled.tts import TTS
from tests.commands import run
from tests.debug import SAMPLE_RATE, debug_checkpoint, debug_waveform

OPTIONS = DecodingOptions(stop_threshold=2.0, max_frames=10)
TEXT = "one four"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with two voices."""
    folder = debug_checkpoint(tmp_path_factory.mktemp("checkpoint"))
    (folder / "voices").mkdir()
    for seed, name in enumerate(["joe", "ann"]):
        soundfile.write(folder / f"voices/{name}.wav", debug_waveform(0.6, seed), SAMPLE_RATE)
        (folder / f"voices/{name}.txt").write_text(f"{TEXT}\n")
    return folder


def test_a_voice_speaks_by_its_name_as_by_its_recording(checkpoint):
    tts = TTS.from_pretrained(checkpoint)
    assert tts.voices == ("ann", "joe")
    prompt = Prompt(TEXT, checkpoint / "voices/joe.wav")
    spoken, expected = (
        tts.say("two seven", prompt=voice, options=OPTIONS).audio for voice in ("joe", prompt)
    )
    np.testing.assert_array_equal(spoken, expected)
    with tts.open_session(voice="joe", decoding=OPTIONS) as session:
        session.feed("two")
        session.flush()
        assert sum(map(len, session)) > 0
    with pytest.raises(ValueError, match="no voice 'jo'.*ann, joe"):
        tts.make_voice("jo")


def test_the_command_line_takes_a_name(checkpoint, tmp_path, capsys):
    flags = ("two", "--model", checkpoint, "--max_length", 80, "-o", tmp_path / "out.wav")
    assert run("speak", *flags, "--voice", "joe") == 0
    assert run("speak", *flags, "--voice", "zoe") == 2
    assert "there is no voice 'zoe': choose from ann, joe" in capsys.readouterr().err


def test_a_server_offers_the_models_voices(checkpoint, tmp_path):
    tts = TTS.from_pretrained(checkpoint)
    library = VoiceLibrary(tts, "own", tmp_path, {})
    assert list(library) == ["own", "ann", "joe"]
    assert asyncio.run(library.load(library.find("own"))) is None
    voice = asyncio.run(library.load(library.find("joe")))
    assert voice is not None and voice.units.equal(tts.make_voice("joe").units)


def test_an_exported_model_keeps_its_voices(checkpoint, tmp_path):
    export(checkpoint, tmp_path / "exported")
    voices, kept = (recorded_voices(folder) for folder in (checkpoint, tmp_path / "exported"))
    assert {name: one.text for name, one in kept.items()} == {"ann": TEXT, "joe": TEXT}
    assert kept["joe"].audio.read_bytes() == voices["joe"].audio.read_bytes()


@pytest.mark.parametrize(
    ("missing", "message"), [("joe.txt", "no transcript"), ("joe.wav", "no recording")]
)
def test_a_recording_and_its_words_go_together(missing, message, tmp_path):
    (tmp_path / "voices").mkdir()
    for name in {"joe.txt", "joe.wav"} - {missing}:
        (tmp_path / "voices" / name).touch()
    with pytest.raises(ValueError, match=message):
        recorded_voices(tmp_path)


def test_most_checkpoints_have_no_voices(tmp_path):
    assert recorded_voices(tmp_path) == {}
