"""The speaking scripts: their flags, and what they make."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sled.cli import speech_parser
from tests.commands import run, run_process
from tests.debug import HOP, SAMPLE_RATE, STREAM, debug_checkpoint, debug_waveform

SPEAKING = ["run_offline", "run_stream", "run_voice_clone"]

# Reviewed: the published flags with their published defaults, then our own. A default of None
# stands for what depends on the model: the published one, or the bundled one's own.
PUBLISHED_FLAGS = {
    "model_name_or_path": None,
    "input": None,
    "max_length": 0,
    "temperature": 1.0,
    "cfg": None,
    "seed": 42,
    "num_return_sequences": 1,
    "fp16": False,
    "bf16": False,
}
OUR_FLAGS = {
    "codec": None,
    "device": "auto",
    "input_file": None,
    "min_frames": 0,
    "stop_threshold": None,
    "output": "output.wav",
}


def read_speech(path: Path) -> np.ndarray:
    """Samples of a file that a script wrote, which any player must be able to play."""
    samples, rate = soundfile.read(path)
    assert rate == SAMPLE_RATE
    assert samples.ndim == 1
    assert len(samples) > 0
    assert len(samples) % HOP == 0
    assert 0 < np.abs(samples).max() <= 1
    return samples


@pytest.fixture(scope="module")
def offline(tmp_path_factory) -> Path:
    return debug_checkpoint(tmp_path_factory.mktemp("offline") / "model")


@pytest.fixture(scope="module")
def stream(tmp_path_factory) -> Path:
    return debug_checkpoint(tmp_path_factory.mktemp("stream") / "model", **STREAM)


@pytest.fixture
def voice(tmp_path) -> Path:
    soundfile.write(tmp_path / "voice.wav", debug_waveform(0.3, sample_rate=16_000), 16_000)
    return tmp_path / "voice.wav"


# Flags.


def test_the_published_flags_and_defaults_are_ours():
    assert vars(speech_parser("").parse_args([])) == PUBLISHED_FLAGS | OUR_FLAGS


@pytest.mark.parametrize("script", SPEAKING)
def test_every_flag_is_explained_with_its_default(script, capsys):
    assert run(script, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for flag, default in (PUBLISHED_FLAGS | OUR_FLAGS).items():
        assert f"--{flag}" in text
        if default:
            assert f"(default: {default})" in text
    assert ("--prompt_text" in text and "--prompt_audio" in text) == (script == "run_voice_clone")


def test_a_named_model_has_the_published_input_and_no_guidance(offline, tmp_path):
    common = ("--model_name_or_path", offline, "--max_length", 230, "--min_frames", 3)
    sentence = (
        "It was silent and gloomy, being tenanted solely by the captive and lighted by the dying "
        "embers of a fire which had been used for the purposes of cookery."
    )
    assert run("run_offline", *common, "--output", tmp_path / "default.wav") == 0
    spelled = ("--cfg", 1.0, "--input", sentence, "--seed", 42, "--output", tmp_path / "same.wav")
    assert run("run_offline", *common, *spelled) == 0
    default, same = (read_speech(tmp_path / name) for name in ("default.wav", "same.wav"))
    np.testing.assert_array_equal(default, same)


# What they make.


@pytest.mark.parametrize("script", SPEAKING)
@pytest.mark.parametrize("precision", [(), ("--bf16",), ("--fp16",)], ids=" ".join)
def test_a_script_speaks_and_says_what_it_made(script, precision, stream, voice, tmp_path, capsys):
    prompt = ("--prompt_audio", voice, "--prompt_text", "four") * (script == "run_voice_clone")
    output = tmp_path / "out.wav"
    model = ("--model_name_or_path", stream, "--cfg", 2, "--min_frames", 5, *precision, *prompt)
    assert run(script, *model, "--input", "one two", "--output", output) == 0
    seconds = len(read_speech(output)) / SAMPLE_RATE
    printed = capsys.readouterr().out
    assert f"{output}: {seconds:.2f} s of audio at 24000 Hz" in printed
    assert "real-time factor" in printed


def test_text_comes_from_a_flag_a_file_or_standard_input(offline, tmp_path, monkeypatch):
    model = ("--model_name_or_path", offline, "--min_frames", 5, "--max_length", 100)
    (tmp_path / "text.txt").write_text("one\n  two\n", encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.StringIO("one two\n"))
    sources = {
        "flag.wav": ("--input", "one two"),
        "file.wav": ("--input_file", tmp_path / "text.txt"),
        "stdin.wav": ("--input", "-"),
    }
    for name, source in sources.items():
        assert run("run_offline", *model, *source, "--output", tmp_path / name) == 0
    first, *others = (read_speech(tmp_path / name) for name in sources)
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-3)


def test_each_return_sequence_is_the_reading_of_the_next_seed(offline, tmp_path):
    common = ("--model_name_or_path", offline, "--input", "one two", "--min_frames", 5)
    several = ("--seed", 7, "--num_return_sequences", 3, "--output", tmp_path / "out.wav")
    assert run("run_offline", *common, *several) == 0
    readings = [read_speech(tmp_path / f"out-{i}.wav") for i in (1, 2, 3)]
    assert len({reading.tobytes() for reading in readings}) == 3
    assert not (tmp_path / "out.wav").exists()
    assert run("run_offline", *common, "--seed", 8, "--output", tmp_path / "second.wav") == 0
    np.testing.assert_allclose(read_speech(tmp_path / "second.wav"), readings[1], atol=1e-3)


def test_the_temperature_is_not_ignored(offline, tmp_path):
    """The published flag does nothing."""
    common = ("--model_name_or_path", offline, "--input", "one", "--min_frames", 5)
    for name, temperature, seed in (("a", 0, 1), ("b", 0, 2), ("c", 1, 1)):
        settings = ("--temperature", temperature, "--seed", seed, "--max_length", 40)
        assert run("run_offline", *common, *settings, "--output", tmp_path / f"{name}.wav") == 0
    still, same, moved = (read_speech(tmp_path / f"{name}.wav") for name in "abc")
    np.testing.assert_allclose(still, same, atol=1e-3)
    assert len(moved) != len(still) or not np.allclose(moved, still, atol=1e-3)


def test_a_script_runs_from_any_folder_and_reads_a_pipe(offline, tmp_path):
    flags = ("--model_name_or_path", offline, "--input", "-", "--min_frames", 5, "--cfg", 2)
    done = run_process("run_offline", *flags, cwd=tmp_path, text="one two\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "output.wav" in done.stdout
    read_speech(tmp_path / "output.wav")
