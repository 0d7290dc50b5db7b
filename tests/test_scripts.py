"""The commands: their flags, what they leave behind, and one line for each kind of bad input."""

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from sled.cli import run_main, speech_parser
from tests.debug import (
    GOLDENS,
    HOP,
    SAMPLE_RATE,
    STREAM,
    debug_checkpoint,
    debug_waveform,
)

SCRIPTS = Path(__file__).parents[1] / "scripts"
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


def load_main(script: str) -> Callable[[list[str]], None]:
    spec = spec_from_file_location(script, SCRIPTS / f"{script}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def run(script: str, *argv: object) -> int:
    """Run a script as `python scripts/...` would, in this process; returns its exit status."""
    main = load_main(script)
    try:
        run_main(lambda: main([str(word) for word in argv]))
    except SystemExit as status:
        return int(status.code)
    return 0


def run_process(script: str, *argv: object, cwd: Path, text: str = "") -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), *map(str, argv)]
    return subprocess.run(
        command, cwd=cwd, input=text, env=environment, capture_output=True, text=True
    )


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


# What they refuse: one line, exit status 2, and nothing left behind.


def bad_inputs(offline: Path, stream: Path, voice: Path, out: Path) -> dict[str, tuple]:
    """By what is wrong: the script, its flags, and a word of the answer."""
    model = ("--model_name_or_path", offline)
    speak = (*model, "--input", "one")
    prompt = (*speak, "--prompt_text", "four", "--prompt_audio")
    files = {name: out.parent / name for name in ("words.wav", "empty.wav", "silent.wav")}
    files["words.wav"].write_text("not audio")
    soundfile.write(files["empty.wav"], np.zeros(0), SAMPLE_RATE)
    soundfile.write(files["silent.wav"], np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    (out.parent / "nothing").mkdir()
    (out.parent / "latin.txt").write_bytes("één".encode("latin-1"))
    broken = out.parent / "broken"
    shutil.copytree(offline, broken)
    (broken / "model.safetensors").write_bytes(b"rubbish")
    no_config = out.parent / "no_config"
    shutil.copytree(offline, no_config)
    (no_config / "config.json").write_text("{")
    narrow, slow = (
        debug_checkpoint(out.parent / name, **changes)
        for name, changes in (("narrow", {"vae_embed_dim": 16}), ("slow", {"frame_rate": 50.0}))
    )
    return {
        "checkpoint: no such folder": ("run_offline", ("--model_name_or_path", "/no/such"), "/no/such"),
        "checkpoint: no such name": ("run_offline", ("--model_name_or_path", "no/such"), "no/such"),
        "checkpoint: an empty folder": (
            "run_offline",
            ("--model_name_or_path", out.parent / "nothing"),
            "lacks config.json",
        ),
        "checkpoint: a codec": ("run_offline", ("--model_name_or_path", offline / "codec"), "codec"),
        "checkpoint: rubbish for weights": ("run_offline", ("--model_name_or_path", broken), "broken"),
        "checkpoint: rubbish for config": (
            "run_offline",
            ("--model_name_or_path", no_config),
            "no_config",
        ),
        "checkpoint: offline, to stream": ("run_stream", speak, "run_offline.py"),
        "text: empty": ("run_stream", (*model, "--input", ""), "blank"),
        "text: blank": ("run_offline", (*model, "--input", " \n\t"), "blank"),
        "text: too long": ("run_offline", (*model, "--input", "one " * 300), "too long"),
        "text: no such file": ("run_offline", (*model, "--input_file", "no.txt"), "no.txt"),
        "text: not UTF-8": (
            "run_offline",
            (*model, "--input_file", out.parent / "latin.txt"),
            "UTF-8",
        ),
        "text: from two places": ("run_offline", (*speak, "--input_file", "a.txt"), "--input_file"),
        "prompt: none": ("run_voice_clone", speak, "--prompt_audio"),
        "prompt: no text": ("run_voice_clone", (*speak, "--prompt_audio", voice), "--prompt_text"),
        "prompt: blank text": (
            "run_voice_clone",
            (*speak, "--prompt_audio", voice, "--prompt_text", " "),
            "--prompt_text",
        ),
        "prompt: no such file": ("run_voice_clone", (*prompt, "no.wav"), "no.wav"),
        "prompt: not audio": ("run_voice_clone", (*prompt, files["words.wav"]), "words.wav"),
        "prompt: empty": ("run_voice_clone", (*prompt, files["empty.wav"]), "no audio"),
        "prompt: silent": ("run_voice_clone", (*prompt, files["silent.wav"]), "silent"),
        "codec: no such folder": ("run_offline", (*speak, "--codec", "/no/such"), "/no/such"),
        "codec: not a codec": ("run_offline", (*speak, "--codec", offline), "codec"),
        "codec: of another width": (
            "run_offline",
            ("--model_name_or_path", narrow, "--input", "one"),
            "32 wide",
        ),
        "codec: of another rate": (
            "run_offline",
            ("--model_name_or_path", slow, "--input", "one"),
            "at 75 a second",
        ),
        "flags: cfg": ("run_stream", (*speak, "--cfg", -1), "cfg=-1"),
        "flags: cfg is no number": ("run_offline", (*speak, "--cfg", "nan"), "cfg=nan"),
        "flags: temperature": ("run_offline", (*speak, "--temperature", -1), "temperature=-1"),
        "flags: both precisions": ("run_offline", (*speak, "--bf16", "--fp16"), "--bf16 and --fp16"),
        "flags: no sequences": ("run_offline", (*speak, "--num_return_sequences", 0), "1 or more"),
        "flags: max_length": ("run_offline", (*speak, "--max_length", -1), "--max_length -1"),
        "flags: seed": ("run_offline", (*speak, "--seed", 2**70), "seed"),
        "flags: device": ("run_offline", (*speak, "--device", "abacus"), "--device abacus"),
    }


BAD_INPUTS = list(bad_inputs_names) if (bad_inputs_names := None) else None
