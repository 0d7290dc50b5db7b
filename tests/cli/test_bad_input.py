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
CLONE = f"run_voice_clone {SPEAK} --prompt_text four --prompt_audio"
# As typed in a folder that holds what `workplace` puts there, and a word of the answer.
COMMANDS = [
    # no such checkpoint; a folder that is no checkpoint
    ("run_offline --model_name_or_path /no/such/folder", "/no/such/folder"),
    ("run_offline --model_name_or_path no/such", "no/such"),
    ("run_stream --model_name_or_path out", "lacks config.json and model.safetensors"),
    ("run_offline --model_name_or_path voice.wav", "voice.wav"),
    ("run_offline --model_name_or_path offline/codec", "unknown configuration keys"),
    ("run_offline --model_name_or_path broken_weights", "broken_weights"),
    ("run_offline --model_name_or_path broken_config", "broken_config"),
    ("run_offline --model_name_or_path broken_tokenizer", "broken_tokenizer"),
    (f"run_stream {SPEAK}", "offline checkpoint"),
    # no text, or too much of it
    (f"run_offline {OFFLINE} --input ''", "blank"),
    (f"run_stream {OFFLINE} --input ' \t '", "blank"),
    (f"run_offline {OFFLINE} --input_file none.txt", "none.txt"),
    (f"run_offline {OFFLINE} --input_file latin.txt", "UTF-8"),
    (f"run_offline {SPEAK} --input_file latin.txt", "exclude each other"),
    (f"run_offline {SPEAK} --max_length 3", "too long"),
    # prompts
    (f"run_voice_clone {SPEAK}", "--prompt_audio is missing"),
    (f"run_voice_clone {SPEAK} --prompt_audio voice.wav", "--prompt_text is missing"),
    (f"run_voice_clone {SPEAK} --prompt_audio voice.wav --prompt_text ' '", "--prompt_text"),
    (f"run_voice_clone {SPEAK} --prompt_text four", "--prompt_audio is missing"),
    (f"{CLONE} none.wav", "no audio file at none.wav"),
    (f"{CLONE} out", "no audio file at out"),
    (f"{CLONE} latin.txt", "cannot read latin.txt"),
    (f"{CLONE} empty.wav", "holds no audio"),
    (f"{CLONE} silent.wav", "silent"),
    (f"{CLONE} long.wav", "too long"),
    # a codec that does not fit
    (f"run_offline {SPEAK} --codec /no/such/codec", "/no/such/codec"),
    (f"run_offline {SPEAK} --codec offline", "no codec"),
    (f"run_offline {SPEAK} --codec latin.txt", "latin.txt"),
    ("run_offline --model_name_or_path narrow --input one", "units of shape [32]"),
    ("run_offline --model_name_or_path slow --input one", "at 75 a second"),
    # flags
    (f"run_offline {SPEAK} --cfg -1", "cfg=-1"),
    (f"run_offline {SPEAK} --cfg nan", "cfg=nan"),
    (f"run_offline {SPEAK} --temperature -1", "temperature=-1"),
    (f"run_offline {SPEAK} --temperature inf", "temperature=inf"),
    (f"run_offline {SPEAK} --stop_threshold 0", "stop_threshold=0"),
    (f"run_offline {SPEAK} --min_frames -1", "min_frames=-1"),
    (f"run_offline {SPEAK} --max_length -1", "--max_length -1"),
    (f"run_offline {SPEAK} --num_return_sequences 0", "--num_return_sequences 0"),
    (f"run_offline {SPEAK} --seed {2**70}", "seed"),
    (f"run_offline {SPEAK} --device abacus", "--device abacus"),
    (f"run_offline {SPEAK} --bf16 --fp16", "--bf16 and --fp16"),
    (f"run_offline {SPEAK} --dtype float32 --bf16", "--dtype, --bf16 and --fp16 exclude"),
    # what only shows once the model has spoken
    (f"run_offline {SPEAK} --stop_threshold 0.001", "stopped before its first frame"),
    (f"run_stream {STREAM_SPEAK} --temperature 1e38 --num_return_sequences 2", "not finite"),
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
    soundfile.write(folder / "voice.wav", debug_waveform(0.3), SAMPLE_RATE)
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
    status = run(*shlex.split(command), *OUTPUT)
    assert_refused(status, capsys.readouterr().err, word, workplace)


@pytest.mark.parametrize(("output", "word"), UNWRITABLE.items())
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    output, word, workplace, monkeypatch, capsys
):
    monkeypatch.chdir(workplace)
    # The model is not there either: the output is looked at first.
    status = run("speak", "--model_name_or_path", "/no/such", "--output", output)
    assert_refused(status, capsys.readouterr().err, word, workplace)


def test_a_process_of_its_own_says_no_more(workplace):
    done = run_process("speak", "--model_name_or_path", "no/such", *OUTPUT, cwd=workplace)
    assert done.stdout == ""
    assert_refused(done.returncode, done.stderr, "no/such", workplace)
