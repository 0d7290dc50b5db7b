"""The commands that speak: their flags and their audio."""

import argparse
import io
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sled import TTS, DecodingOptions, Prompt, Speech
from sled.bundled import BUNDLED_MODELS, DEFAULT_MODEL, BundledModel, bundled_model
from sled.cli.flags import add_speech_flags
from sled.cli.main import guard
from sled.files.checkpoint import missing_files
from sled.model.layout import Layout
from tests.commands import run, run_process
from tests.debug import HOP, SAMPLE_RATE, STREAM, debug_checkpoint, debug_waveform

SPEAKING = ["speak", "stream", "clone"]

# Reviewed: the published flags with their published defaults, then our own. A default of None
# stands for what depends on the model: the published one, or the bundled one's own.
PUBLISHED_FLAGS = {
    "model_name_or_path": None,
    "input": None,
    "max_length": 0,
    "temperature": None,
    "cfg": None,
    "seed": 42,
    "num_return_sequences": 1,
    "fp16": False,
    "bf16": False,
}
OUR_FLAGS = {
    "text": None,
    "track_text": True,
    "draws": None,
    "codec": None,
    "device": "auto",
    "dtype": "auto",
    "input_file": None,
    "pronunciations": None,
    "dialect": "american",
    "min_frames": 0,
    "stop_threshold": None,
    "trim_tail": False,
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
    # Texts are short enough for one segment.
    sizes = STREAM | {"max_frames_per_token": 2.0}
    return debug_checkpoint(tmp_path_factory.mktemp("stream") / "model", **sizes)


@pytest.fixture
def voice(tmp_path) -> Path:
    soundfile.write(tmp_path / "voice.wav", debug_waveform(0.6, sample_rate=16_000), 16_000)
    return tmp_path / "voice.wav"


# Flags.


def test_the_published_flags_and_defaults_are_ours():
    parser = argparse.ArgumentParser()
    add_speech_flags(parser)
    renamed = {"model" if name == "model_name_or_path" else name for name in PUBLISHED_FLAGS}
    values = vars(parser.parse_args([]))
    assert values.keys() == renamed | OUR_FLAGS.keys()
    assert values == values | {"model": None} | OUR_FLAGS
    named = parser.parse_args(["--model_name_or_path", "digits", "--input", "one"])
    assert (named.model, named.input) == ("digits", "one")


@pytest.mark.parametrize("command", SPEAKING)
def test_every_flag_is_explained_with_its_default(command, capsys):
    assert run(command, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for flag, default in (PUBLISHED_FLAGS | OUR_FLAGS).items():
        assert f"--{flag}" in text or flag == "text"
        if default:
            assert f"(default: {default})" in text
    assert ("--prompt_text" in text and "--prompt_audio" in text) == (command != "speak")


# What they make. The library says what to expect: its own tests hold it against the definitions.

PUBLISHED_SENTENCE = (
    "It was silent and gloomy, being tenanted solely by the captive and lighted by the dying "
    "embers of a fire which had been used for the purposes of cookery."
)


def assert_speech(path: Path, expected: Speech) -> None:
    """The file holds this speech, turned down as a whole if too loud, in 16 bits."""
    scale = max(1.0, np.abs(expected.audio).max())
    np.testing.assert_allclose(read_speech(path), expected.audio / scale, rtol=0, atol=1e-4)


@pytest.mark.parametrize("command", SPEAKING)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_command_speaks_and_says_what_it_made(command, dtype, stream, voice, tmp_path, capsys):
    output = tmp_path / "out.wav"
    flags = ("--model_name_or_path", stream, "--cfg", 2, "--min_frames", 5, "--max_length", 100)
    flags += {"float32": (), "bfloat16": ("--bf16",), "float16": ("--fp16",)}[dtype]
    prompt = None
    if command == "clone":
        flags += ("--prompt_audio", voice, "--prompt_text", "four")
        prompt = Prompt("four", voice)
    assert run(command, *flags, "--input", "one  two", "--output", output) == 0

    expected = TTS.from_pretrained(stream, dtype=dtype).synthesize(
        ["one two"],
        prompts=prompt,
        seeds=42,
        options=DecodingOptions(cfg=2.0, min_frames=5, max_length=100),
        layout=Layout(3, 4) if command == "stream" else Layout(),
    )[0]
    assert_speech(output, expected)
    printed = capsys.readouterr().out
    assert f"{output}: {expected.seconds:.2f} s of audio at 24000 Hz" in printed
    assert "real-time factor" in printed


def test_a_named_model_has_the_published_input_and_no_guidance(offline, tmp_path):
    flags = ("--model_name_or_path", offline, "--max_length", 230, "--min_frames", 3)
    assert run("speak", *flags, "--output", tmp_path / "out.wav") == 0
    options = DecodingOptions(cfg=1.0, max_length=230, min_frames=3)
    expected = TTS.from_pretrained(offline).say(PUBLISHED_SENTENCE, seed=42, options=options)
    assert_speech(tmp_path / "out.wav", expected)


@pytest.mark.parametrize(("command", "layout"), [("speak", Layout()), ("stream", None)])
def test_without_a_name_the_bundled_model_says_what_it_can(
    command, layout, stream, tmp_path, monkeypatch, capsys
):
    """In either layout, with guidance; and a line says that it is an example."""
    model = BundledModel(stream, "digits", "four two seven")
    monkeypatch.setitem(BUNDLED_MODELS, DEFAULT_MODEL, model)
    assert run(command, "--min_frames", 3, "--output", tmp_path / "out.wav") == 0
    said = capsys.readouterr().err.splitlines()[0]
    assert said == 'no text is given: speaking an example, "four two seven"'
    options = DecodingOptions(cfg=2.0, min_frames=3)
    tts = TTS.from_pretrained(stream)
    expected = tts.synthesize(["four two seven"], seeds=42, options=options, layout=layout)[0]
    assert_speech(tmp_path / "out.wav", expected)


def test_a_folder_is_preferred_to_the_bundled_model_of_its_name(tmp_path, monkeypatch):
    assert bundled_model("digits") is BUNDLED_MODELS["digits"]
    assert bundled_model(None) is BUNDLED_MODELS[DEFAULT_MODEL]
    assert bundled_model("no such voice") is None
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert bundled_model("digits") is None


@pytest.mark.parametrize("model", BUNDLED_MODELS.values(), ids=BUNDLED_MODELS)
def test_bundled_models_are_complete(model):
    assert not missing_files(model.folder)
    assert (model.folder / "codec" / "config.json").is_file()
    assert (model.folder / "README.md").is_file()


def test_text_has_four_sources(offline, tmp_path, monkeypatch):
    model = ("--model_name_or_path", offline, "--min_frames", 5, "--max_length", 100)
    (tmp_path / "text.txt").write_text("one\n  two\n", encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one two\n")))
    sources = {
        "argument.wav": ("one two",),
        "flag.wav": ("--input", "one two"),
        "file.wav": ("--input_file", tmp_path / "text.txt"),
        "stdin.wav": ("-",),
    }
    for name, source in sources.items():
        assert run("speak", *model, *source, "--output", tmp_path / name) == 0
    first, *others = (read_speech(tmp_path / name) for name in sources)
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-3)


def test_each_return_sequence_is_the_reading_of_the_next_seed(offline, tmp_path):
    flags = ("--model_name_or_path", offline, "--input", "one two", "--min_frames", 5)
    flags += ("--cfg", 2, "--seed", 7, "--num_return_sequences", 3)
    assert run("speak", *flags, "--output", tmp_path / "out.wav") == 0
    tts, options = TTS.from_pretrained(offline), DecodingOptions(min_frames=5)
    for i in range(3):
        expected = tts.say("one two", seed=7 + i, options=options)
        assert_speech(tmp_path / f"out-{i + 1}.wav", expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out-1.wav",
        "out-2.wav",
        "out-3.wav",
    ]
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 3


def test_the_decoding_flags_are_not_ignored(offline, tmp_path):
    """The published --temperature does nothing."""
    flags = ("--model_name_or_path", offline, "--input", "one", "--temperature", 0.3)
    flags += ("--stop_threshold", 0.7, "--min_frames", 2, "--max_length", 50, "--cfg", 1.5)
    flags += ("--draws", 3)
    assert run("speak", *flags, "--output", tmp_path / "out.wav") == 0
    options = DecodingOptions(
        cfg=1.5, temperature=0.3, draws=3, stop_threshold=0.7, min_frames=2, max_length=50
    )
    expected = TTS.from_pretrained(offline).say("one", seed=42, options=options)
    assert_speech(tmp_path / "out.wav", expected)


def test_without_a_name_the_output_is_in_the_working_directory(
    offline, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one two\n")))
    flags = ("--model_name_or_path", offline, "--input", "-", "--min_frames", 5, "--cfg", 2)
    assert run("speak", *flags) == 0
    captured = capsys.readouterr()
    assert captured.err == "" and "output.wav" in captured.out
    read_speech(tmp_path / "output.wav")


def test_a_pipe_gives_text_and_takes_samples(offline, tmp_path):
    """In another folder. Standard output has samples only; the report goes to standard error."""
    flags = ("--model", offline, "--min_frames", 5, "--cfg", 2)
    assert run("speak", "one two", *flags, "-o", tmp_path / "out.wav") == 0
    done = run_process("speak", "-", *flags, "-o", "-", cwd=tmp_path, text="one two\n", binary=True)
    assert done.returncode == 0
    samples = np.frombuffer(done.stdout, "<i2") / 32767
    np.testing.assert_allclose(samples, read_speech(tmp_path / "out.wav"), atol=1e-3)
    assert b"standard output: " in done.stderr and b"real-time factor" in done.stderr


def test_an_interrupted_command_ends_quietly(capsys):
    def main() -> None:
        raise KeyboardInterrupt

    assert guard(main) == 130
    assert capsys.readouterr().err == "interrupted\n"
