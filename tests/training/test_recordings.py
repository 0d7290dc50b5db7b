"""From recordings with texts to a model that speaks, in one command."""

import math
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from lhotse import CutSet

from sled import TTS
from sled.codec import CodecParts
from sled.data.alignment.spoken_times import with_words
from sled.data.cache.codes import cut_codes, load_cached
from sled.data.corpora.detect import read_recordings
from sled.data.corpora.items import Item, Utterance
from sled.data.corpora.spoken import without_unspoken
from sled.training import recordings as recordings_module
from sled.training.codec import CodecTrainingConfig
from tests.commands import run
from tests.debug import SAMPLE_RATE, debug_waveform
from tests.training.runs import checkpoints, logged

SPLITS = ("train", "valid")
WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "zero")
TEXTS = [*WORDS, "one two", "nine zero"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve short recordings of the bundled model digits, each with a text file, and one without.

    And a silent one, and one of music.
    """
    folder = tmp_path_factory.mktemp("recordings")
    tts = TTS.from_pretrained("digits")
    for number, speech in enumerate(tts.synthesize(TEXTS, seeds=list(range(len(TEXTS))))):
        speech.save(folder / f"{number:02d}.wav")
        (folder / f"{number:02d}.txt").write_text(TEXTS[number])
    soundfile.write(folder / "untold.wav", debug_waveform(1.0), SAMPLE_RATE)
    soundfile.write(folder / "silent.wav", 0 * debug_waveform(1.0), SAMPLE_RATE)
    (folder / "silent.txt").write_text("one")
    soundfile.write(folder / "music.wav", debug_waveform(1.0), SAMPLE_RATE)
    (folder / "music.txt").write_text("♪ ♪", encoding="utf-8")
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
    assert "left out: empty_text 2, silent_audio 1" in caplog.text
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


def change_text(folder: Path) -> None:
    (folder / "b.txt").write_text("Seven.")


def change_audio(folder: Path) -> None:
    soundfile.write(folder / "b.wav", debug_waveform(0.7), SAMPLE_RATE)


def repair_audio(folder: Path) -> None:
    """What the manifest says of it stays the same."""
    waveform, _ = soundfile.read(folder / "b.wav")
    soundfile.write(folder / "b.wav", waveform[::-1], SAMPLE_RATE)


def add_one(folder: Path) -> None:
    soundfile.write(folder / "c.wav", debug_waveform(0.5, seed=3), SAMPLE_RATE)
    (folder / "c.txt").write_text("Three.")


def remove_one(folder: Path) -> None:
    (folder / "b.txt").unlink()
    (folder / "b.wav").unlink()


@pytest.mark.parametrize("change", [change_text, change_audio, repair_audio, add_one, remove_one])
def test_changed_recordings_are_prepared_and_encoded_again(
    change: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, output = tmp_path / "recordings", tmp_path / "voice"
    write_audio(folder, "a.wav", "b.wav", "d.wav")
    for name, text in (("a", "One."), ("b", "Two."), ("d", "Four.")):
        (folder / f"{name}.txt").write_text(text)
    monkeypatch.setattr(recordings_module, "align_corpora", copy_with_times)

    def steps() -> dict[tuple[str, str, float], list[int]]:
        """Run the steps; what is encoded then, and its codes."""
        recordings_module._prepare(folder, output, None)
        recordings_module._align(output / "data", None, 2.0, 10, "cpu")
        recordings_module._cache(output, "digits", "cpu")
        cuts = [cut for split in SPLITS for cut in load_cached(output / "codes" / split)]
        return {
            (cut.id, cut.supervisions[0].text, cut.duration): cut_codes(cut).flatten().tolist()
            for cut in cuts
        }

    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}

    first, made = steps(), files()
    assert [name for name, _, _ in sorted(first)] == ["a", "b", "d"]
    assert steps() == first and files() == made
    change(folder)
    then = steps()
    assert then != first
    assert set(then) == {
        (path.stem, path.with_suffix(".txt").read_text(), soundfile.info(path).duration)
        for path in folder.glob("*.wav")
    }
    made = files()
    assert steps() == then and files() == made


def test_other_recordings_do_not_take_the_folder_of_a_voice(tmp_path: Path) -> None:
    for name in ("anna", "ben"):
        write_audio(tmp_path / name, "a.wav", "b.wav")
        for file, text in (("a", "One."), ("b", "Two.")):
            (tmp_path / name / f"{file}.txt").write_text(text)
    recordings_module._prepare(tmp_path / "anna", tmp_path / "voice", None)
    (tmp_path / "voice" / "codes").mkdir()
    with pytest.raises(ValueError, match="voice was made of .*anna: name another --output"):
        recordings_module._prepare(tmp_path / "ben", tmp_path / "voice", None)
    assert (tmp_path / "voice" / "codes").is_dir()


def copy_with_times(manifests: list[CutSet], outputs: list[Path], **_: object) -> None:
    """In the place of the alignment."""
    for cuts, output in zip(manifests, outputs, strict=True):
        timed = [with_words(cut, ["word"], [cut.duration], [0.0]) for cut in cuts]
        CutSet.from_cuts(timed).to_file(output)


@pytest.mark.parametrize(
    ("text", "normalization", "is_kept"),
    [
        ("♪ ♪", "english", False),
        ("...", "english", False),
        ("...", None, False),
        ("\N{GRINNING FACE}", "english-phonemes", False),
        ("今天天气很好。", "english", False),
        ("今天天气很好。", None, True),
        ("%", "english", True),
        ("ˈ", None, False),
        ("é", None, True),
        ("½", "digits", False),
    ],
)
def test_texts_of_which_nothing_is_said_are_left_out(
    text: str, normalization: str | None, is_kept: bool
) -> None:
    [item] = without_unspoken([Utterance("one", Path("one.wav"), text)], normalization)
    assert isinstance(item, Utterance) == is_kept
    assert is_kept or item.reason == "empty_text"


def test_broken_and_blank_texts_are_left_to_the_checks() -> None:
    items = [Utterance("one", Path("one.wav"), text) for text in (" ", "half \ud83d")]
    assert list(without_unspoken(items, "english")) == items


def test_recordings_of_a_single_sentence_are_refused_without_flags_of_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_audio(tmp_path, *(f"{number}.wav" for number in range(20)))
    for number in range(20):
        (tmp_path / f"{number}.txt").write_text("The same.")
    assert run("train", "--recordings", tmp_path, "--output", tmp_path / "out") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "none of 20 utterances" in error and "record more sentences" in error
    assert "--" not in error


def test_the_tokenizer_of_a_new_model_stays_when_texts_change(tmp_path: Path) -> None:
    """The model that is trained on was trained with its tokens."""
    folder = tmp_path / "recordings"
    write_audio(folder, "a.wav", "b.wav")
    found = []
    for texts in (("Sand and land.", "Hand."), ("Over.", "Clover and Dover.")):
        for name, text in zip("ab", texts, strict=True):
            (folder / f"{name}.txt").write_text(text)
        recordings_module._prepare(folder, tmp_path, None)
        tokenizer = recordings_module._tokenizer(tmp_path, None, None)
        found.append((tokenizer / "merges.txt").read_text())
    assert found[0] == found[1]


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
