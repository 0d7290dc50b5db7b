"""Mutated command lines of every subcommand: exit status 0 or 2, one line, no half-written file.

A few in the usual run; `pytest --hypothesis-profile=fuzz` with this file tries 2,000.
"""

import gc
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from unittest.mock import patch

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.cli.commands import COMMANDS, find_command
from sled.cli.main import BAD_INPUT, build_parser
from tests.commands import run
from tests.debug import GOLDENS, SAMPLE_RATE, STREAM, debug_checkpoint, debug_waveform

# A command line that is refused: the model is none of speech tokens.
REFUSED = "convert voice.wav --model model --prompt_audio voice.wav -o out/converted.wav"
# Valid command lines in the folder that `template` makes, at least one of each subcommand.
LINES = [
    "speak --model model 'one two' --seed 3 --min_frames 4 --max_length 40 -o out/speech.wav",
    "speak --model model --input_file text.txt --cfg 2 --num_return_sequences 2 -o out/speech.wav",
    "stream --model model 'one two' --min_frames 4 --max_silence_s 0.5 -o out/speech.wav",
    "stream --model model - --min_frames 4 --max_length 40 --temperature 0.5 --draws 2 -o -",
    "clone --model model one --prompt_audio voice.wav --prompt_text four --layout stream "
    "--min_frames 4 --max_length 80 -o out/speech.flac",
    "clone --model model one --voice saved.safetensors --layout stream --min_frames 4 "
    "-o out/speech.wav",
    "serve --model model --port 0 --voices . --max_sessions 2",
    "voices list .",
    "voices make --model model --prompt_audio voice.wav --prompt_text four --layout stream "
    "-o out/voice.safetensors",
    "prepare jsonl --input corpus.jsonl --valid_count 1 --num_workers 1 -o out/data",
    "prepare metadata-csv --input metadata.csv --audio_dir . --split all --on_bad skip "
    "--num_workers 1 -o out/data",
    "prepare recordings --input kaldi --num_workers 1 -o out/data",
    "prepare kaldi --input kaldi --min_duration 0.1 --num_workers 1 -o out/data",
    "prepare kaldi-folder --input kaldi -o out/kaldi",
    "prepare libritts --input libritts --text original --num_workers 1 -o out/data",
    "prepare libriheavy --input data/cuts.jsonl.gz --audio_dir . --num_workers 1 -o out/data",
    "prepare digits --train 4 --valid 1 --test 1 --seed 2 -o out/data",
    "prepare english --texts text.txt --test_texts text.txt --hours 0.001 --voices 1 -o out/data",
    "align --manifest data/cuts.jsonl.gz -o out/aligned.jsonl.gz --max_steps 1 --num_workers 0",
    "tokenizer --input data/cuts.jsonl.gz --vocab_size 300 --min_frequency 1 -o out/tokenizer",
    "cache codes --manifest data/cuts.jsonl.gz --codec model/codec --num_workers 0 --device cpu "
    "-o out/codes",
    "cache predictions --model model --codec model/codec --codes codes --hours 0.001 --device cpu "
    "-o out/predictions",
    "cache best-readings --model model --manifest text.txt --aligner none --readings 2 "
    "--device cpu -o out/best",
    "cache embeddings --input kaldi --encoder none.onnx",
    "cache tokens --input kaldi --tokenizer none.onnx",
    "cache spoken --input kaldi --manifest data/cuts.jsonl.gz --tokenizer model",
    "cache parquet --input kaldi -o out/parquet --num_processes 1",
    "tokenizer speech train --train_manifest data/cuts.jsonl.gz --eval_manifest data/cuts.jsonl.gz "
    "--output out/tokenizer --max_steps 1 --device cpu",
    "finetune --config finetune.yaml --mode llm -o out/tuned",
    "codec train --train_manifest data/cuts.jsonl.gz --eval_manifest data/cuts.jsonl.gz "
    "--output_dir out/codec --max_steps 1 --bf16 false --segment_s 0.1",
    "codec fit --codec model/codec --codes codes --transforms whiten,group:2 -o out/latents",
    "train --train_manifest codes --tokenizer model --codec model/codec --output_dir out/trained "
    "--max_steps 1 --eval_strategy no --report_to none --use_cpu true",
    "average --checkpoints model other -o out/averaged",
    "grow --model model --hidden_size 48 --num_attention_heads 6 -o out/grown",
    "export --model model --codec model/codec --dtype float32 -o out/shipped",
    "quantize --model model --texts text.txt --limit 1",
    "evaluate --manifest data/cuts.jsonl.gz --model model --modes model --limit 1 -o out/results",
    "sweep --manifest data/cuts.jsonl.gz --model model --cfg 1 2 --limit 1 -o out/sweep",
    "bench generate --size digits --frames 2 --rounds 1",
    "bench latency --size digits --words 2 --rounds 1",
    "bench sessions --size digits --batch 2 --frames 2 --steps 1",
    "bench flow --size small --seconds 1 --steps 1",
    "bench server --model model --rounds 1",
    "bench start --model model --rounds 1",
    "bench train --size digits --steps 1 --num_workers 0",
    "bench data --num_cuts 4 --rounds 1 --num_workers 0",
    "bench load --model model --rounds 1",
    f"check {GOLDENS}",
    "doctor",
    "completion bash",
]
# These are parsed only: running them takes too long, or needs a model that is not here.
PARSED_ONLY = ["serve", "evaluate", "align", "prepare digits", "prepare english", "check"]
PARSED_ONLY += ["sweep", "cache best-readings", "cache embeddings", "cache tokens", "finetune"]
PARSED_ONLY += [name for name in COMMANDS if name.startswith("bench ")]

VALUES = [
    *["", " ", "-", "--", "-1", "0", "1", "2", "0.5", "nan", "-inf", "1e400", "two", "٣", "1_0"],
    *[
        "none/such",
        "model",
        "out",
        "voice.wav",
        "text.txt",
        "latin.txt",
        "data/cuts.jsonl.gz",
    ],
    *["model/config.json", "empty", "/dev/null", "é 东京", "\udcff\udcfe", "x" * 300, "a\nb"],
]
AT_LENGTH = settings().max_examples > 1000
HUGE = "99999999999999999999"
# Asking for as much as this is no mistake that a program can tell.
COUNTS = ("--num_workers", "--train", "--hours")


@st.composite
def mutated_lines(draw: st.DrawFn) -> list[str]:
    """The words of a command line in which some were dropped, doubled, swapped or garbled."""
    line = shlex.split(draw(st.sampled_from([*LINES, REFUSED])))
    name = find_command(line)
    assert name is not None
    words = line[len(name.split()) :]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(words)))
        huge = [] if at and words[at - 1] in COUNTS else [HUGE]
        value = draw(st.sampled_from(VALUES + huge) | st.text(max_size=5).filter(printable))
        mutation = draw(st.sampled_from(["drop", "double", "swap", "value", "insert", "flag"]))
        if mutation == "drop":
            del words[at : at + draw(st.integers(1, 2))]
        elif mutation == "double":
            words += words[at : at + 2]
        elif mutation == "swap" and at:
            words[at - 1 : at + 1] = reversed(words[at - 1 : at + 1])
        elif mutation == "value" and at < len(words) and not words[at].startswith("-"):
            words[at] = value
        elif mutation == "insert":
            words.insert(at, value)
        elif mutation == "flag":
            words[at:at] = [draw(st.sampled_from(flags_of(name))), value]
    return [*name.split(), *words]


def printable(text: str) -> bool:
    """Whether a shell can pass it on."""
    return "\0" not in text


def flags_of(name: str) -> list[str]:
    """The flags of a command that change no more than what it reads and writes."""
    if COMMANDS[name].own_parser:
        return ["--seed", "--learning_rate", "--finetune_path", "--noise", "--max_minutes"]
    parser = build_parser(name)
    for word in name.split():
        parser = next(a for a in parser._actions if isinstance(a.choices, dict)).choices[word]
    flags = [action.option_strings[0] for action in parser._actions if action.option_strings]
    return [flag for flag in flags if flag not in COUNTS]


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A folder with what the command lines name."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "out").mkdir()
    (folder / "empty").mkdir()
    debug_checkpoint(folder / "model", **STREAM)
    debug_checkpoint(folder / "other", seed=1, **STREAM)
    (folder / "text.txt").write_text("one two\n")
    (folder / "latin.txt").write_bytes("één\n".encode("latin-1"))
    soundfile.write(folder / "voice.wav", debug_waveform(0.6), SAMPLE_RATE)
    texts = {"first": "one two", "second": "two seven", "third": "four"}
    for seed, name in enumerate(texts):
        soundfile.write(folder / f"{name}.wav", debug_waveform(0.6, seed), SAMPLE_RATE)
    rows = [{"audio": f"{name}.wav", "text": text} for name, text in texts.items()]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "metadata.csv").write_text("".join(map("{0[0]}|{0[1]}\n".format, texts.items())))
    kaldi, chapter = folder / "kaldi", folder / "libritts/1/2"
    kaldi.mkdir()
    (kaldi / "wav.scp").write_text("".join(f"{name} {folder / name}.wav\n" for name in texts))
    (kaldi / "text").write_text("".join(map("{0[0]} {0[1]}\n".format, texts.items())))
    (kaldi / "utt2spk").write_text("".join(map("{0} speaker\n".format, texts)))
    chapter.mkdir(parents=True)
    shutil.copy(folder / "first.wav", chapter / "1_2_3_4.wav")
    (chapter / "1_2.trans.tsv").write_text("1_2_3_4\tOne two.\tOne two.\n")
    with pytest.MonkeyPatch.context() as patcher:
        patcher.chdir(folder)
        source = ("--input", "corpus.jsonl", "--num_workers", 1)
        assert run("prepare jsonl", *source, "-o", "data") == 0
        (folder / "data/cuts_train.jsonl.gz").rename(folder / "data/cuts.jsonl.gz")
        parts = ("--codec", "model/codec", "--num_workers", 0, "--device", "cpu")
        assert run("cache codes", "--manifest", "data/cuts.jsonl.gz", *parts, "-o", "codes") == 0
        voice = ("--prompt_audio", "voice.wav", "--prompt_text", "four", "--layout", "stream")
        assert run("voices make", "--model", "model", *voice, "-o", "saved.safetensors") == 0
    return folder


class Workplace:
    """A copy of the template, made anew whenever a command has changed it."""

    def __init__(self, template: Path, folder: Path) -> None:
        self.template, self.folder = template, folder
        self.restore()

    def restore(self) -> None:
        """Make it as it was; the working directory has to exist all the time."""
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.template, self.folder, dirs_exist_ok=True)
        self.before = self.files()

    def files(self) -> dict[Path, tuple[int, int]]:
        """The size and time of each file."""
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        return {path: ((stat := path.stat()).st_size, stat.st_mtime_ns) for path in paths}


@pytest.fixture(scope="module")
def workplace(template, tmp_path_factory) -> Iterator[Workplace]:
    folder = tmp_path_factory.mktemp("workplace")
    with pytest.MonkeyPatch.context() as patcher:
        patcher.chdir(folder)
        for name in PARSED_ONLY:
            patcher.setattr(import_module(COMMANDS[name].module), "run", lambda _: None)
        for trainer in (
            "sled.training.trainer.SledTrainer.run",
            "sled.training.codec.CodecTrainer.train",
            "sled.training.tokenizer.trainer.TokenizerTrainer.train",
        ):
            patcher.setattr(trainer, stop)
        yield Workplace(template, folder)


def stop(*_: object) -> None:
    """In place of a training that may take hours."""
    raise SystemExit(0)


def run_captured(words: list[str]) -> tuple[int, str]:
    """Run `sled` with a text on standard input; returns its exit status and standard error."""
    with ExitStack() as stack:
        # Real files: some commands ask for their number.
        given, out, errors = (
            stack.enter_context(TemporaryFile("w+", errors="backslashreplace")) for _ in range(3)
        )
        given.write("one two")
        given.seek(0)
        with patch.object(sys, "stdin", given), redirect_stdout(out), redirect_stderr(errors):
            status = run("", *words)
        errors.seek(0)
        return status, errors.read()


# Files that the lines read, and what may have become of one.
INPUTS = [
    *("model/config.json", "model/model.safetensors", "model/vocab.json", "model/merges.txt"),
    *("model/codec/config.json", "model/codec/model.safetensors", "other/config.json"),
    *("voice.wav", "saved.safetensors", "text.txt", "corpus.jsonl", "metadata.csv", "first.wav"),
    *("kaldi/wav.scp", "kaldi/text", "libritts/1/2/1_2.trans.tsv", "data/cuts.jsonl.gz"),
]
DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda data: b"",
    lambda data: data[: len(data) // 2],
    lambda data: data[:-1],
    lambda data: data[:40] + b"\xff\x00\n" + data[43:],
    lambda data: data + b"\n{]\n",
    lambda data: b"[]",
]


@given(words=mutated_lines())
@settings(max_examples=2000 if AT_LENGTH else 20)
def test_a_mistyped_command_line_is_refused_in_one_line_or_done(words, workplace):
    assert_done_or_refused(words, workplace)


@given(line=st.sampled_from(LINES), file=st.sampled_from(INPUTS), damage=st.sampled_from(DAMAGES))
@settings(max_examples=2000 if AT_LENGTH else 20)
def test_a_damaged_file_is_refused_in_one_line_or_not_needed(line, file, damage, workplace):
    path = workplace.folder / file
    path.write_bytes(damage(path.read_bytes()))
    workplace.before = workplace.files()
    assert_done_or_refused(shlex.split(line), workplace)
    workplace.restore()


def is_unfinished(path: Path) -> bool:
    """Whether a file belongs to the work folder of a corpus, with which its command continues."""
    return any(part.startswith(".work_") for part in path.parts) or path.match("rejected_*.jsonl")


def assert_done_or_refused(words: list[str], workplace: Workplace) -> None:
    """Run a command line; what it changes without success is a failure."""
    status, said = run_captured(words)
    # What a command leaves behind is few objects but up to 75 MB: a model that refers to itself.
    # Python would look for it only after many commands, and the allocator keeps what they took.
    gc.collect()
    files = workplace.files()
    if files != workplace.before:
        changed = {path for path, stat in files.items() if workplace.before.get(path) != stat}
        changed |= workplace.before.keys() - files.keys()
        workplace.restore()
        assert status != BAD_INPUT or all(map(is_unfinished, changed)), f"{changed}: {said}"
    assert status in (0, BAD_INPUT), f"status {status}: {said}"
    if status == BAD_INPUT:  # warnings may come before
        assert said.splitlines()[-1].startswith("error: "), said
    assert "Traceback" not in said


def test_every_command_is_tried():
    tried = {name for name in COMMANDS for line in [*LINES, REFUSED] if line.startswith(name)}
    assert tried == COMMANDS.keys()


@pytest.mark.skipif(not AT_LENGTH, reason="takes half a minute")
def test_the_lines_that_are_mutated_are_valid(workplace):
    refused = []
    for line in LINES:
        status, said = run_captured(shlex.split(line))
        workplace.restore()
        if status != 0:
            refused.append(f"{line}: {said}")
    assert not refused
