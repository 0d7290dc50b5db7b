"""Every kind of bad input ends in one line, exit status 2, and no output file."""

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.commands import run, run_process
from tests.debug import SAMPLE_RATE, STREAM, debug_checkpoint, debug_waveform

OUTPUT = ("--output", "out/speech.wav")
OFFLINE = "--model_name_or_path offline"
SPEAK = f"{OFFLINE} --input one"
STREAM_SPEAK = "--model_name_or_path stream --input one"
CLONE = f"clone {SPEAK} --prompt_text four --prompt_audio"
# As typed in a folder that holds what `workplace` puts there, and a word of the answer.
COMMANDS = [
    # no such checkpoint; a folder that is no checkpoint
    ("speak --model_name_or_path /no/such/folder", "/no/such/folder"),
    ("speak --model_name_or_path no/such", "no/such"),
    ("stream --model_name_or_path out", "lacks config.json and model.safetensors"),
    ("speak --model_name_or_path voice.wav", "voice.wav"),
    ("speak --model_name_or_path offline/codec", "model_type 'encodec'"),
    ("speak --model_name_or_path broken_weights", "broken_weights"),
    ("speak --model_name_or_path broken_config", "broken_config"),
    ("speak --model_name_or_path broken_tokenizer", "broken_tokenizer"),
    (f"stream {SPEAK}", "offline checkpoint"),
    # no text, or too much of it
    (f"speak {OFFLINE} --input ''", "blank"),
    (f"stream {OFFLINE} --input ' \t '", "blank"),
    (f"speak {OFFLINE} --input_file none.txt", "none.txt"),
    (f"speak {OFFLINE} --input one --pronunciations none.txt", "none.txt"),
    (f"stream {OFFLINE} --input '...'", "offline checkpoint"),
    (f"speak {OFFLINE} --input '...'", "no word that this model knows"),
    (f"speak {OFFLINE} --input_file latin.txt", "UTF-8"),
    (f"speak {SPEAK} --input_file latin.txt", "exclude each other"),
    (f"speak {SPEAK} two", "the text and --input exclude each other"),
    (f"speak {SPEAK} --max_length 3", "too long"),
    # prompts
    (f"clone {SPEAK}", "--prompt_audio is missing"),
    (f"clone {SPEAK} --prompt_audio voice.wav", "--prompt_text is missing"),
    (f"clone {SPEAK} --prompt_audio voice.wav --prompt_text ' '", "--prompt_text"),
    (f"clone {SPEAK} --prompt_text four", "--prompt_audio is missing"),
    (f"{CLONE} none.wav", "no audio file at none.wav"),
    (f"{CLONE} out", "no audio file at out"),
    (f"{CLONE} latin.txt", "cannot read latin.txt"),
    (f"{CLONE} empty.wav", "holds no audio"),
    (f"{CLONE} silent.wav", "silent"),
    (f"clone {SPEAK} --prompt_text 'four two seven one' --prompt_audio long.wav", "too long"),
    # a codec that does not fit
    (f"speak {SPEAK} --codec /no/such/codec", "/no/such/codec"),
    (f"speak {SPEAK} --codec out", "out holds no codec"),
    (f"speak {SPEAK} --codec latin.txt", "latin.txt"),
    ("speak --model_name_or_path narrow --input one", "units of shape [32]"),
    ("speak --model_name_or_path slow --input one", "at 75 a second"),
    # flags
    (f"speak {SPEAK} --cfg -1", "cfg=-1"),
    (f"speak {SPEAK} --cfg nan", "cfg=nan"),
    (f"speak {SPEAK} --temperature -1", "temperature=-1"),
    (f"speak {SPEAK} --temperature inf", "temperature=inf"),
    (f"speak {SPEAK} --stop_threshold 0", "stop_threshold=0"),
    (f"speak {SPEAK} --min_frames -1", "min_frames=-1"),
    (f"speak {SPEAK} --max_length -1", "--max_length -1"),
    (f"speak {SPEAK} --num_return_sequences 0", "--num_return_sequences 0"),
    (f"speak {SPEAK} --num_return_sequences {10**20}", "ask for 1 to 1000"),
    (f"speak {SPEAK} --draws {10**20}", "give a whole number from 1 to 1000"),
    (f"speak {SPEAK} --tempature 1", "(did you mean --temperature?): see sled speak --help"),
    (f"speak {SPEAK} --output - --num_return_sequences 2", "--output - takes one reading"),
    (f"speak {SPEAK} --zzz", "unrecognized arguments: --zzz: see sled speak --help"),
    (f"speak {SPEAK} --cfg two", "argument --cfg: invalid float value: 'two': see sled speak"),
    (f"speak {SPEAK} --seed {2**70}", "seed"),
    (f"speak {SPEAK} --device abacus", "--device abacus"),
    (f"speak {SPEAK} --bf16 --fp16", "--bf16 and --fp16"),
    (f"speak {SPEAK} --dtype float32 --bf16", "--dtype, --bf16 and --fp16 exclude"),
    # what only shows once the model has spoken
    (f"speak {SPEAK} --stop_threshold 0.001", "stopped before its first frame"),
    (f"stream {STREAM_SPEAK} --temperature 1e38 --num_return_sequences 2", "not finite"),
]
UNWRITABLE = {
    "none/speech.wav": "no folder none",
    "voice.wav/speech.wav": "voice.wav",
    "out": "out",
    "out/speech.doc": "'.doc'",
    "out/speech": "unknown audio format",
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder with good and bad files of every kind, and an empty folder `out`."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "out").mkdir()
    debug_checkpoint(folder / "offline")
    debug_checkpoint(folder / "stream", **STREAM)
    debug_checkpoint(folder / "narrow", vae_embed_dim=16)
    debug_checkpoint(folder / "slow", frame_rate=50.0)
    damage = {"weights": "model.safetensors", "config": "config.json", "tokenizer": "vocab.json"}
    for what, file in damage.items():
        shutil.copytree(folder / "offline", folder / f"broken_{what}")
        (folder / f"broken_{what}" / file).write_text("{rubbish")
    soundfile.write(folder / "voice.wav", debug_waveform(0.6), SAMPLE_RATE)
    soundfile.write(folder / "long.wav", debug_waveform(4.0), SAMPLE_RATE)
    soundfile.write(folder / "empty.wav", np.zeros(0), SAMPLE_RATE)
    soundfile.write(folder / "silent.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    (folder / "latin.txt").write_bytes("één".encode("latin-1"))
    return folder


def assert_refused(status: int, stderr: str, word: str, folder: Path) -> None:
    assert status == 2
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    assert word in stderr
    assert list((folder / "out").iterdir()) == []


@pytest.mark.parametrize(("command", "word"), COMMANDS)
def test_bad_input_is_refused_in_one_line(command, word, workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    # What the command says of its output comes last, and counts.
    command, *flags = shlex.split(command)
    status = run(command, *OUTPUT, *flags)
    assert_refused(status, capsys.readouterr().err, word, workplace)


@pytest.mark.parametrize(("output", "word"), UNWRITABLE.items())
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    output, word, workplace, monkeypatch, capsys
):
    monkeypatch.chdir(workplace)
    # The model is not there either: the output is looked at first.
    status = run("speak", "--model_name_or_path", "/no/such", "--output", output)
    assert_refused(status, capsys.readouterr().err, word, workplace)


@pytest.mark.parametrize(
    ("output", "word"), [("none/a.safetensors", "no folder"), ("", "a folder")]
)
def test_a_voice_that_cannot_be_written_is_refused_before_any_work(
    output, word, workplace, monkeypatch, capsys
):
    monkeypatch.chdir(workplace)
    prompt = ("--prompt_audio", "voice.wav", "--prompt_text", "four")
    status = run("voices make", "--model", "/no/such", *prompt, "--output", output)
    assert_refused(status, capsys.readouterr().err, word, workplace)


@pytest.mark.parametrize("command", ["speak", "stream", "clone"])
def test_raw_samples_are_not_written_to_a_terminal(command, workplace, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    prompt = () if command == "speak" else ("--prompt_audio", "a", "--prompt_text", "b")
    status = run(command, "one", *prompt, "--output", "-")
    assert_refused(status, capsys.readouterr().err, "pipe it into a player", workplace)


def test_a_process_of_its_own_says_no_more(workplace):
    done = run_process("speak", "--model_name_or_path", "no/such", *OUTPUT, cwd=workplace)
    assert done.stdout == ""
    assert_refused(done.returncode, done.stderr, "no/such", workplace)
