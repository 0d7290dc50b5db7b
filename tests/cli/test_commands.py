"""The command `sled`: every subcommand, its flags, and what it imports."""

import argparse
import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from sled.bundled import BUNDLED_MODELS
from sled.cli import doctor
from sled.cli.commands import COMMANDS, GROUPS, SECTIONS
from sled.cli.main import build_parser
from sled.cli.source_flags import read_flags
from sled.fast import precision
from sled.files.extras import install_command
from sled.model.config import Config
from tests.commands import ROOT, SCRIPTS, run, run_process, run_script

OWN_PARSERS = ["codec train", "tokenizer speech train", "train"]
LIGHT = [name for name, command in COMMANDS.items() if not command.own_parser]

# Reviewed: the flags of each command; in tests/cli/test_speaking.py and
# tests/training/test_arguments.py are those of speaking and training.
SPEECH = {
    *("text", "--model", "--codec", "--device", "--dtype", "--bf16", "--fp16", "--input"),
    *("--input_file", "--cfg", "--temperature", "--draws", "--seed", "--max_length"),
    *("--min_frames", "--stop_threshold", "--track_text", "--num_return_sequences"),
    *("--trim_tail", "--output", "--pronunciations", "--dialect"),
}
VOICE = {"--prompt_audio", "--prompt_text", "--instruction", "--whisper", "--voice"}
MODEL = {"--model", "--codec", "--device", "--dtype"}
SAMPLING = {"--cfg", "--temperature", "--draws"}
TEST = {
    *("--manifest", "--protocol", "--data", "--limit", "--seed", "--seeds", "--batch_size"),
    *("--stop_threshold", "--track_text", "--output", "--whisper", "--numerals"),
    *("--speaker_encoder", "--dnsmos", "--utmos"),
}
CORPUS = {
    *("--output", "--split", "--shar", "--valid_share", "--valid_count", "--seed", "--on_bad"),
    *("--decode_audio", "--min_duration", "--max_duration", "--min_chars_per_s"),
    *("--max_chars_per_s", "--num_workers"),
}
EXTRACTION = {"--input", "--wav_scp", "--output", "--num_threads", "--on_bad", "--device", "--ray"}
SPEED = {"--json", "--size", "--device", "--dtype", "--cfg", "--draws", "--threads"}
FLAGS: dict[str, set[str]] = {
    "speak": SPEECH | {"--voice", "--max_redraws", "--marks"},
    "stream": SPEECH
    | VOICE
    | {"--tokens_per_second", "--max_start_delay_s", "--max_silence_s", "--play"},
    "clone": SPEECH | VOICE | {"--layout", "--max_redraws", "--marks"},
    "serve": MODEL
    | {
        "--host",
        "--port",
        "--keys",
        "--keys_file",
        "--token_secret",
        "--wyoming_port",
        "--insecure",
        "--cors_origins",
        "--voices",
        "--presets",
        "--consent",
        "--max_sessions",
        "--max_load",
        "--queue_s",
        "--max_starting",
        "--max_queued",
        "--max_input_chars",
        "--max_lead_s",
        "--stall_s",
        "--text_timeout_s",
        "--idle_s",
        "--log_format",
        "--log_text",
        "--drain_s",
    },
    "voices list": {"paths"},
    "convert": MODEL | {"recording", "--prompt_audio", "--voice", "--output"},
    "voices make": MODEL
    | {"--prompt_audio", "--prompt_text", "--instruction", "--whisper", "--layout", "--output"},
    "prepare recordings": CORPUS | {"--input"},
    "prepare jsonl": CORPUS | {"--input", "--audio_dir"},
    "prepare metadata-csv": CORPUS
    | {"--input", "--audio_dir", "--text_column", "--speaker_column"},
    "prepare kaldi": CORPUS | {"--input", "--audio_dir"},
    "prepare libritts": CORPUS | {"--input", "--text"},
    "prepare libriheavy": CORPUS | {"--input", "--audio_dir", "--text"},
    "prepare digits": {"--output", "--train", "--joined", "--valid", "--test", "--seed"},
    "prepare english": {
        *("--output", "--seed", "--texts", "--test_texts", "--num_valid", "--word_share"),
        *("--piece_share", "--made_share", "--joined_share", "--hours", "--voices"),
        *("--voice_hours", "--kokoro_model", "--kokoro_voices", "--piper_models", "--recordings"),
        "--held_out",
    },
    "prepare kaldi-folder": {"--input", "--output", "--on_bad", "--without_text"},
    "align": {
        *("--manifest", "--output", "--model", "--text_normalization", "--max_steps"),
        *("--train_hours", "--network", "--trained", "--seed", "--num_workers", "--on_bad"),
        "--device",
    },
    "tokenizer": {
        *("--input", "--output", "--vocab_size", "--min_frequency", "--text_normalization"),
    },
    "cache codes": {
        *("--manifest", "--codec", "--output", "--shard_size", "--shard", "--num_workers"),
        *("--on_bad", "--verify", "--device"),
    },
    "cache predictions": SAMPLING
    | {"--model", "--codec", "--codes", "--output", "--hours", "--max_duration_s"}
    | {"--offline_share", "--device", "--seed"},
    "cache best-readings": MODEL
    | SAMPLING
    | {"--manifest", "--limit", "--aligner", "--whisper", "--speaker_encoder", "--dnsmos"}
    | {"--readings", "--offline_share", "--seed", "--batch_size", "--output", "--shard_size"},
    "cache embeddings": EXTRACTION | {"--encoder", "--utt2spk"},
    "cache tokens": EXTRACTION | {"--tokenizer", "--linguistic", "--sample_rate", "--model_source"},
    "cache spoken": {
        *("--input", "--manifest", "--tokenizer", "--text_normalization", "--token_rate"),
    },
    "cache parquet": {
        *("--input", "--output", "--num_utts_per_parquet", "--num_processes", "--dpo", "--on_bad"),
    },
    "codec fit": {"--codec", "--transforms", "--codes", "--tokenizer", "--output"},
    "finetune": {"--config", "--mode", "--resume", "--use_cpu", "--bf16", "--output"},
    "average": {"--run", "--last", "--best", "--checkpoints", "--output"},
    "grow": {
        *("--model", "--output", "--hidden_size", "--intermediate_size", "--num_hidden_layers"),
        *("--num_attention_heads", "--diffloss_d", "--seed"),
    },
    "export": SAMPLING
    | {"--model", "--codec", "--output", "--dtype", "--max_shard_size", "--onnx", "--voice"},
    "quantize": {"--model", "--texts", "--limit", "--group", "--seed"},
    "evaluate": MODEL
    | SAMPLING
    | TEST
    | {"--modes", "--system", "--stream_model", "--voice", "--characters_per_second"}
    | {"--save_audio"},
    "sweep": MODEL | SAMPLING | TEST | {"--mode", "--write"},
    "bench generate": SPEED
    | {"--batch", "--context", "--frames", "--rounds", "--codec_threads", "--fidelity"}
    | {"--heads", "--picture", "--timeline", "--peer", "--peer_python"},
    "bench latency": SPEED | {"--family", "--words_per_second", "--words", "--rounds"},
    "bench sessions": SPEED | {"--batch", "--context", "--frames", "--steps"},
    "bench load": {
        *("--json", "--url", "--model", "--api", "--key", "--voice", "--texts", "--rates"),
        *("--capacity", "--seconds", "--rounds", "--seed", "--picture", "--peer", "--peer_python"),
    },
    "bench server": {"--json", "--model", "--text", "--rounds"},
    "bench flow": {
        *("--json", "--size", "--seconds", "--steps", "--guidance", "--left_frames", "--device"),
        *("--threads", "--vocoder"),
    },
    "bench start": {"--json", "--model", "--input", "--rounds"},
    "bench train": {
        *("--json", "--size", "--family", "--device", "--bf16", "--frames", "--steps"),
        *("--gradient_accumulation_steps", "--warmup_steps", "--num_workers", "--compile_layers"),
    },
    "bench data": {
        *("--json", "--manifest", "--data_path", "--tokenizer", "--num_cuts", "--num_workers"),
        *("--rounds", "--batch_size", "--frames", "--quadratic_duration_s"),
    },
    "check": {"folder"},
    "doctor": {"--kernels"},
    "completion": {"shell"},
}


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of one command, with its flags."""
    parser = build_parser(name)
    for word in name.split():
        subparsers = next(
            action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
        )
        parser = subparsers.choices[word]
    return parser


# Flags.


def test_the_flags_of_every_command_are_reviewed():
    found = {
        name: {
            (action.option_strings or [action.dest])[0]
            for action in parser_of(name)._actions
            if not isinstance(action, argparse._HelpAction)
        }
        for name in COMMANDS
        if name not in OWN_PARSERS
    }
    assert found == FLAGS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name, capsys):
    assert run(name, "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: sled {name} ")
    assert f"sled {name}" in text.partition("\n")[2]
    if "--output" in text:
        assert "-o " in text
    if name not in OWN_PARSERS:
        explained = [action.help for action in parser_of(name)._actions]
        assert all(explained)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in OWN_PARSERS])
def test_examples_are_commands(name, monkeypatch):
    example = __import__(COMMANDS[name].module, fromlist=["EXAMPLE"]).EXAMPLE
    words = shlex.split(example.removeprefix('eval "$(').removesuffix(')"').partition(" |")[0])
    assert words[0] == "sled"
    args = build_parser(name).parse_args(words[1:])
    assert callable(args.run_command)


def test_the_overview_has_every_command(capsys):
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted({name.split()[0] for name in COMMANDS})
    grouped = {name.split()[0] for name in COMMANDS if " " in name} - COMMANDS.keys()
    assert grouped == GROUPS.keys()
    assert run("") == run("--help") == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in listed)
    assert run("cache") == 0
    text = capsys.readouterr().out
    assert "encode a corpus" in text and "predictions" in text


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("speek", "no command 'speek' in sled (did you mean speak?): see sled --help"),
        ("voice list", "no command 'voice' in sled (did you mean voices?)"),
        ("zzz", "no command 'zzz' in sled: see"),
        ("cache code", "no command 'code' in sled cache (did you mean codes?): see sled cache"),
        ("speak --tempature 1", "--tempature (did you mean --temperature?): see sled speak"),
        ("cache codes", "the following arguments are required: --codec, --output/-o"),
        ("completion tcsh", "invalid choice: 'tcsh'"),
        (
            "train --max_steps --report_to none",
            "--max-steps: expected one argument: see sled train",
        ),
        ("codec train --seed x", "--seed: invalid int value: 'x': see sled codec train --help"),
    ],
)
def test_a_mistyped_command_is_refused_in_one_line(command, message, capsys):
    assert run(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error


def test_flags_repeat_what_the_library_says():
    """They are written again because importing the library takes seconds."""
    from sled.data.alignment import TrainingOptions
    from sled.data.cache.codes import SHARD_SIZE
    from sled.fast import DTYPES, PRECISIONS
    from sled.streaming.options import SessionOptions
    from sled.training.checkpoints.growth import GROWABLE

    def action(name: str, flag: str) -> argparse.Action:
        return parser_of(name)._option_string_actions[flag]

    assert action("speak", "--dtype").choices == ("auto", *PRECISIONS)
    assert set(action("export", "--dtype").choices or ()) == DTYPES.keys()
    assert action("stream", "--max_start_delay_s").default == SessionOptions.max_start_delay_s
    assert action("cache codes", "--shard_size").default == SHARD_SIZE
    options = {name: action("align", f"--{name}").default for name in ("max_steps", "train_hours")}
    assert TrainingOptions(**options) == TrainingOptions()
    assert {f"--{name}" for name in GROWABLE} < FLAGS["grow"]


# Starting.

LIBRARIES = ("torch", "transformers", "lhotse", "scipy", "numpy", "soundfile", "tokenizers")


def test_flags_are_parsed_without_the_libraries():
    """Nor is a command's module imported for another one."""
    names = [name for name in LIGHT if name != "completion"]
    program = f"""
import sys
from sled.cli.main import build_parser, main

def ends(words):
    try:
        main(words)
    except SystemExit as status:
        print("status", status.code)

ends(["--help"])
assert "sled.cli.flags" not in sys.modules
for name in {names!r}:
    build_parser(name)
    print("imported", *(library for library in {LIBRARIES!r} if library in sys.modules))
ends(["speak", "--speed", "2"])
print("imported", *(library for library in {LIBRARIES!r} if library in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines.count("imported") == len(names) + 1
    assert "status 2" in lines


# Scripts.


@pytest.mark.parametrize(
    ("script", "command"),
    {
        "run_offline": "speak",
        "run_stream": "stream",
        "run_voice_clone": "clone",
        "check_goldens": "check",
        "evaluate": "evaluate",
        "benchmark": "bench",
        "train": "train",
        "prepare_data": "prepare kaldi-folder",
        "extract_embedding": "cache embeddings",
        "extract_speech_token": "cache tokens",
        "make_parquet_list": "cache parquet",
        "train_libriheavy": "train",
        "train_libriheavy_stream": "train",
    }.items(),
)
def test_published_scripts_are_commands(script, command, capsys):
    assert run_script(script, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: sled {command}")
    assert len((SCRIPTS / f"{script}.py").read_text().splitlines()) <= 15


# Other commands.


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_sled(shell, capsys):
    assert run("completion", shell) == 0
    script = capsys.readouterr().out
    assert "sled" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sled ", {"speak", "stream", "cache", "doctor"}),
        ("sled cache ", {"codes", "predictions"}),
        ("sled speak --mod", {"--model", "--model_name_or_path"}),
        ("sled speak --dtype ", {"auto", "int8"}),
        ("sled bench start --mod", {"--model"}),
        ("sled train --m", {"--max_steps", "--model_dtype", "--max_grad_norm"}),
        ("sled codec train --pre", {"--predictions"}),
    ],
)
def test_a_shell_is_told_what_may_follow(line, expected, tmp_path):
    answer = tmp_path / "answer"
    own = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SHELL": "bash"}
    own |= {"COMP_LINE": line, "COMP_POINT": str(len(line)), "PYTHONPATH": str(ROOT)}
    own |= {"_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
    subprocess.run([sys.executable, "-m", "sled"], env=os.environ | own, check=True)
    assert expected <= {word.strip() for word in answer.read_text().split("\n")}


@pytest.mark.parametrize("name", OWN_PARSERS)
def test_completed_flags_are_those_of_the_parser(name, capsys):
    assert run(name, "--help-all") == 0
    text = capsys.readouterr().out
    explained = set(re.findall(r"^  (?:-\w, )?--(\w+)", text, re.MULTILINE)) - {"help"}
    completed = {flag.removeprefix("--") for flag in read_flags(COMMANDS[name].settings)}
    # The negations of flags that are on by default need not be offered.
    assert {name.removeprefix("no_") for name in explained} <= completed
    assert all(f"--{flag}" in text for flag in completed)


def test_a_reader_that_leaves_is_no_error(tmp_path):
    """`sled ... | head` ends quietly."""
    program = f"{sys.executable} -m sled voices list {' '.join(['.'] * 2000)} | head -c 5"
    done = subprocess.run(
        ["bash", "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stderr == ""


def test_bundled_models_and_voice_files_are_listed(tmp_path, capsys):
    (tmp_path / "other.safetensors").write_bytes(b"nothing")
    assert run("voices list", tmp_path) == 0
    out = capsys.readouterr().out
    assert "model  english (default): any English text" in out
    assert f"voice  {tmp_path}/other.safetensors: no voice file" in out
    assert run("voices list", tmp_path / "none") == 2
    assert "check the path" in capsys.readouterr().err


def test_doctor_names_what_is_missing_and_what_is_used(monkeypatch, capsys):
    def version(package: str) -> str:
        if package in ("jiwer", "sounddevice"):
            raise PackageNotFoundError(package)
        return "1.2.3"

    requirements = ["torch>=2", 'jiwer>=3.0; extra == "eval"', 'sounddevice; extra == "play"']
    requirements += ['onnx>=1.16; extra == "fast"', 'ruff; extra == "dev"']
    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr("importlib.metadata.requires", lambda package: requirements)
    monkeypatch.setattr(doctor, "DEFAULT_MODEL", "digits")
    monkeypatch.setitem(BUNDLED_MODELS, "english", BUNDLED_MODELS["digits"])
    assert run("doctor") == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    found = dict(line for line in lines if line[0] != "extra")
    extras = dict(line[1].split(maxsplit=1) for line in lines if line[0] == "extra")
    assert extras == {
        "eval": f"missing jiwer: {install_command('eval')}",
        "play": f"missing sounddevice: {install_command('play')}",
        "fast": "onnx 1.2.3",
    }
    assert "torch 1.2.3" in found["libraries"]
    assert "model digits" in found["speech"] and "real-time factor" in found["speech"]
    models = {line[1].split()[0]: line[1] for line in lines if line[0] == "model"}
    assert models.keys() == BUNDLED_MODELS.keys()
    assert all("10 M parameters: float32" in line for line in models.values())


def test_doctor_measures_precisions_and_tells_which_one_is_taken(monkeypatch, tmp_path):
    def time_forms(config: Config, names: list[str], convert: object) -> dict[str, float]:
        return {name: 3.0 if name == "int8" else 2.0 for name in names}

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(precision, "can_run", lambda sizes: True)
    monkeypatch.setattr(precision, "time_forms", time_forms)
    monkeypatch.setattr("sled.cli.device.choose_device", lambda name: "cpu")
    found = dict(doctor.describe_hardware(measure=True))
    assert "204 M parameters: float32" in found["published size"]
    assert found["published size"].endswith("; float32 2.00 ms a step; int8 3.00 ms a step")
    assert len(list((tmp_path / "sled").iterdir())) == 1 + len(BUNDLED_MODELS)


def test_doctor_says_what_fails(monkeypatch, capsys):
    def fail() -> str:
        raise ValueError("no\nweights")

    monkeypatch.setattr(doctor, "speak_example", fail)
    assert run("doctor") == 1
    assert capsys.readouterr().out.splitlines()[-1].split() == ["FAILED", "no", "weights"]


def test_the_module_is_the_command(tmp_path):
    done = run_process("--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("sled ")
