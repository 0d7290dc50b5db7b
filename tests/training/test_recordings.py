"""From recordings with texts to a model that speaks, in one command."""

import math
from argparse import Namespace
from pathlib import Path

import pytest
import soundfile

from sled import TTS
from sled.codec import CodecParts
from sled.data.cache.codes import load_cached
from sled.data.corpora.detect import read_recordings
from sled.data.corpora.items import Item, Utterance
from sled.training import recordings as recordings_module
from sled.training.codec import CodecTrainingConfig
from tests.commands import run
from tests.debug import SAMPLE_RATE, debug_waveform
from tests.training.runs import checkpoints, logged

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "zero")
TEXTS = [*WORDS, "one two", "nine zero"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve short recordings of the bundled model digits, each with a text file, and one without.

    And a silent one.
    """
    folder = tmp_path_factory.mktemp("recordings")
    tts = TTS.from_pretrained("digits")
    for number, speech in enumerate(tts.synthesize(TEXTS, seeds=list(range(len(TEXTS))))):
        speech.save(folder / f"{number:02d}.wav")
        (folder / f"{number:02d}.txt").write_text(TEXTS[number])
    soundfile.write(folder / "untold.wav", debug_waveform(1.0), SAMPLE_RATE)
    soundfile.write(folder / "silent.wav", 0 * debug_waveform(1.0), SAMPLE_RATE)
    (folder / "silent.txt").write_text("one")
    return folder


def test_recordings_become_a_model_that_speaks(
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The same command goes on where it stopped, and repeats no step that is done."""
    caplog.set_level("INFO")
    output = tmp_path / "voice"
    command = ("--recordings", recordings, "--finetune_path", "digits", "--output", output)
    small = ("--max_frames_per_batch", 100, "--use_cpu")
    assert run("train", *command, *small, "--max_steps", 2) == 0
    steps = [message[:6] for message in caplog.messages if " of 6: " in message]
    assert steps == [f"{step} of 6" for step in range(1, 7)]
    assert "silent_audio 1, empty_text 1" in caplog.text
    cuts = [*load_cached(output / "codes/train"), *load_cached(output / "codes/valid")]
    assert {cut.id for cut in cuts} <= {f"{number:02d}" for number in range(12)}
    own = [transform.kind for transform in CodecParts.load("digits").transforms]
    assert [transform.kind for transform in CodecParts.load(output / "codec").transforms] == own
    say = ("--model", output, "one two", "--output", tmp_path / "out.wav")
    assert run("speak", *say) == 0
    assert soundfile.info(tmp_path / "out.wav").duration > 0.2

    # Only what is made from other sources is made again.
    steps = adapted_with(monkeypatch)
    for codec in ("digits", "english", "english"):
        recordings_module._adapt(output, codec, 3, "cpu")
    assert steps == ["digits", "english"]

    for step in ("align_corpora", "CodecTrainer"):
        monkeypatch.setattr(f"sled.training.recordings.{step}", None)
    assert run("train", *command, *small, "--max_steps", 3) == 0
    assert len(logged(output, "loss")) == 3
    assert checkpoints(output)[-1] == 3


@pytest.mark.parametrize("codec", ["digits", "english", "spectral"])
def test_a_new_model_has_18_75_frames_a_second_with_any_codec(codec: str) -> None:
    transforms = recordings_module._transforms_for(codec)
    grouped = [int(one.removeprefix("group:")) for one in transforms.split(",") if "group:" in one]
    untransformed = CodecParts(CodecParts.load(codec).model).assemble()
    assert untransformed.frame_rate / math.prod(grouped) == 18.75


def adapted_with(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The codecs that are adapted from now on; they are not trained."""
    codecs: list[str] = []

    class Trainer:
        def __init__(self, config: CodecTrainingConfig) -> None:
            codecs.append(str(config.finetune_path))

        def train(self) -> str:
            return "adapted"

    monkeypatch.setattr(recordings_module, "CodecTrainer", Trainer)
    return codecs


def test_recordings_are_prepared_in_one_process(
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    namespace = Namespace(recordings=recordings, output_dir=tmp_path / "voice")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="start it without torchrun"):
        recordings_module.defaults_for_recordings(namespace)
    assert not (tmp_path / "voice").exists()


def write_audio(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, debug_waveform(0.5), SAMPLE_RATE)


# Files besides one.wav and deep/two.flac, and what is given.
FORMS: dict[str, tuple[dict[str, str], str]] = {
    "text files": ({"one.txt": "One.", "deep/two.txt": "Two."}, "."),
    "label files": ({"one.lab": "One.", "deep/two.lab": "Two."}, "."),
    "metadata": ({"metadata.csv": "one|One.\ndeep/two|Two.\n"}, "."),
    "a file of metadata": ({"list.csv": "one|One.\ndeep/two|Two.\n"}, "list.csv"),
    "kaldi": (
        {"wav.scp": "one one.wav\ndeep/two deep/two.flac", "text": "one One.\ndeep/two Two."},
        ".",
    ),
    "json lines": (
        {"a.jsonl": '{"wav": "one.wav", "txt": "One."}\n{"wav": "deep/two.flac", "txt": "Two."}'},
        "a.jsonl",
    ),
    "a folder of json lines": (
        {"a.jsonl": '{"wav": "one.wav", "txt": "One."}\n{"wav": "deep/two.flac", "txt": "Two."}'},
        ".",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found_out(form: str, tmp_path: Path) -> None:
    write_audio(tmp_path, "one.wav", "deep/two.flac")
    files, given = FORMS[form]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    items: list[Item] = list(read_recordings(tmp_path / given))
    found = {item.id: item for item in items if isinstance(item, Utterance)}
    assert {name: item.text for name, item in found.items()} == {"one": "One.", "deep/two": "Two."}
    assert all(item.audio.is_file() for item in found.values())
    output = tmp_path / "out"
    assert run("prepare recordings", "--input", tmp_path / given, "--output", output) == 0
    assert (output / "cuts_train.jsonl.gz").is_file()


@pytest.mark.parametrize(
    ("audio", "files", "given", "word"),
    [
        ([], [], "none", "no recordings at"),
        ([], [], ".", "holds no recordings: give a folder with metadata.csv"),
        (["a.wav"], [], ".", "holds 1 recordings without texts: give"),
        (["a.wav"], ["a.jsonl", "b.jsonl"], ".", "several files of JSON lines (a.jsonl, b.jsonl)"),
        (["a.wav"], ["a.doc"], "a.doc", "holds no recordings that can be read"),
        (["a.wav"], ["a.txt"], ".", "has 1 recording: give at least ten"),
    ],
)
def test_what_holds_no_recordings_is_refused_with_the_forms(
    audio: list[str],
    files: list[str],
    given: str,
    word: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_audio(tmp_path, *audio)
    for name in files:
        (tmp_path / name).write_text("text")
    assert run("train", "--recordings", tmp_path / given, "--output", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert word in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--train_manifest", "codes", "--output", "out"], "--train_manifest exclude each other"),
        ([], "--output is missing"),
        (["--output", "out", "--finetune_path", "none.safetensors"], "no checkpoint at"),
    ],
)
def test_flags_that_do_not_go_with_recordings_are_refused(
    flags: list[str],
    word: str,
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("train", "--recordings", recordings, *flags) == 2
    assert word in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
