"""The recipes of CosyVoice run the published stages with flags that the scripts understand."""

import json
import os
import shutil
import subprocess
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from sled.cli.commands import COMMANDS as COMMANDS_OF_SLED
from sled.cli.commands import find_command
from sled.cli.main import build_parser
from sled.training.simpletts.flow import make_flow_parser
from sled.training.simpletts.lm import make_lm_parser
from sled.training.tokens.average import make_average_parser
from sled.training.tokens.cosyvoice_flags import make_published_parser
from sled.training.tokens.published_config import PublishedConfig
from tests.commands import ROOT

RUNS = ROOT / "runs"
RECORDER = """#!/bin/sh
for word in "$@"; do printf '%s\\t' "$word" >> "$COMMANDS"; done
echo >> "$COMMANDS"
"""
COMMANDS = {
    "prepare_data": "prepare kaldi-folder",
    "extract_embedding": "cache embeddings",
    "extract_speech_token": "cache tokens",
    "make_parquet_list": "cache parquet",
}


def commands_of(recipe: Path, folder: Path, **settings: str) -> list[list[str]]:
    """The commands that a recipe would give Python."""
    python = folder / "python"
    python.write_text(RECORDER)
    python.chmod(0o755)
    for part in ("train", "dev"):
        (folder / "data" / part / "parquet").mkdir(parents=True, exist_ok=True)
        (folder / "data" / part / "parquet" / "data.list").write_text(f"{part}.tar\n")
    own = {"PYTHON": str(python), "COMMANDS": str(folder / "commands"), "num_gpus": "2"}
    own |= {"train_parts": "train", "dev_parts": "dev", "test_parts": ""}
    environment = os.environ | own | settings
    subprocess.run(["bash", str(recipe)], cwd=folder, env=environment, check=True)
    lines = (folder / "commands").read_text().splitlines()
    return [line.split("\t")[:-1] for line in lines]


def parse(command: list[str]) -> str:
    """Parse a command; returns the name of its script."""
    [script] = [word for word in command if word.endswith(".py")]
    flags, name = command[command.index(script) + 1 :], Path(script).stem
    assert Path(script).is_file()
    if name in COMMANDS:
        build_parser(COMMANDS[name]).parse_args([*COMMANDS[name].split(), *flags])
    elif name == "average_model":
        make_average_parser().parse_args(flags)
    elif name == "train_cosyvoice":
        given = make_published_parser().parse_args(flags)
        assert given.model in ("llm", "flow", "hifigan") and "torch.distributed.run" in command
        flags = PublishedConfig.load(given.config).training_flags()
        assert flags["max_epochs"] == (100 if "step_flow" in str(given.config) else 200)
    else:
        assert name in ("export_jit", "export_onnx") and flags[0] == "--model_dir"
    return name


@pytest.mark.parametrize("system", ["cosyvoice", "cosyvoice2"])
def test_the_stages_of_a_recipe_are_understood(system, tmp_path):
    recipe = RUNS / system / "run.sh"
    settings = {"stage": "0", "stop_stage": "7", "models": "llm flow hifigan"}
    names = [parse(command) for command in commands_of(recipe, tmp_path, **settings)]
    extraction = [name for name in COMMANDS for _ in ("train", "dev")]
    trained = ["train_cosyvoice"] * 3 + ["average_model"] * 3 + ["export_jit", "export_onnx"]
    assert names == extraction + trained
    assert (tmp_path / "data" / "train.data.list").read_text() == "train.tar\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_an_error_page_does_not_become_part_of_an_archive(tmp_path):
    """A download that fails leaves nothing behind; started again when there is one, it works."""
    served, folder = tmp_path / "served", tmp_path / "work"
    served.mkdir(), folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=served)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    script = f"set -e; source {RUNS / 'cosyvoice_stages.sh'}; download dev"
    own = {"data_url": f"http://127.0.0.1:{server.server_port}", "data_dir": "down"}
    download = partial(subprocess.run, ["bash", "-c", script], cwd=folder, env=os.environ | own)
    assert download(capture_output=True).returncode != 0
    assert not (folder / "down" / "dev.tar.gz").exists()
    (tmp_path / "LibriTTS" / "dev").mkdir(parents=True)
    with tarfile.open(served / "dev.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "LibriTTS", "LibriTTS")
    assert download(capture_output=True).returncode == 0
    assert (folder / "down" / "LibriTTS" / "dev" / ".complete").is_file()
    server.shutdown()


def names_of(commands: list[list[str]]) -> list[str]:
    """Names of scripts and of `sled` commands, whose flags are parsed."""
    names = []
    for command in commands:
        if command[:2] != ["-m", "sled"]:
            names.append(next(Path(word).stem for word in command if word.endswith(".py")))
            continue
        words = command[2:]
        name = find_command(words)
        assert name is not None
        if not COMMANDS_OF_SLED[name].own_parser:
            build_parser(name).parse_args(words)
        names.append(name)
    return names


def make_lists(run: Path) -> None:
    """What the packing of a corpus leaves behind."""
    for part in ("train", "valid"):
        (run / "data" / part / "parquet").mkdir(parents=True)
        (run / "data" / part / "parquet" / "data.list").write_text(f"{part}.tar\n")


@pytest.mark.parametrize("steps", [0, 7])
def test_the_small_chain_is_told_what_is_said_before_its_corpus_is_packed(steps, tmp_path):
    run = tmp_path / "run"
    make_lists(run)
    settings = {"RUN": str(run), "ALIGN_STEPS": str(steps)}
    names = names_of(commands_of(RUNS / "cosyvoice2" / "small.sh", tmp_path, **settings))
    packed = names.index("make_parquet_list")
    told = ["align", "cache spoken"] if steps else []
    assert names[packed - 1 - len(told) : packed] == ["extract_speech_token", *told]
    config = PublishedConfig.load(run / "small.yaml")
    assert config.language_model_flags()["alignment_weight"] == float(steps > 0)
    assert config.language_model_flags()["training_cfg"] > 0  # finish lets the model be guided
    assert config.prior_steps() == 2000


def test_a_person_s_voice_begins_with_the_networks_of_the_small_chain(tmp_path):
    chain, run = tmp_path / "chain", tmp_path / "run"
    begun = chain / "exp" / "cosyvoice2"
    make_lists(run)
    (begun / "flow" / "torch_ddp").mkdir(parents=True)
    (begun / "flow" / "torch_ddp" / "flow.pt").touch()
    (tmp_path / "one.jsonl").touch()
    settings = {"RUN": str(run), "CHAIN": str(chain), "DATA": str(tmp_path / "one.jsonl")}
    commands = commands_of(RUNS / "cosyvoice2" / "small_voice.sh", tmp_path, **settings)
    names = names_of(commands)
    assert names[:3] == ["prepare jsonl", "small", "evaluate"]
    assert names[-6:] == [*["train_cosyvoice"] * 2, *["average_model"] * 2, "small", "evaluate"]
    [flow, llm] = (one for one in commands if any("train_cosyvoice" in word for word in one))
    assert flow[flow.index("--checkpoint") + 1] == "pretrained/flow.pt"
    assert (run / "pretrained" / "flow.pt").readlink() == begun / "flow" / "torch_ddp" / "flow.pt"
    assert llm[llm.index("--checkpoint") + 1] == str(begun / "llm" / "torch_ddp" / "llm.pt")
    config = PublishedConfig.load(run / "small.yaml")
    assert config.training_flags()["learning_rate"] == 3e-4
    assert config.prior_steps() == 0  # the flow is not new


def test_preferences_need_the_tokens_of_both_readings(tmp_path):
    recipe = RUNS / "cosyvoice2" / "run_dpo.sh"
    commands = commands_of(recipe, tmp_path, stage="2", stop_stage="6")
    assert [parse(command) for command in commands] == [
        *["extract_speech_token"] * 4,
        *["make_parquet_list"] * 2,
        *("train_cosyvoice", "average_model"),
    ]
    assert "data/train_reject" in commands[0] and "--dpo" in commands[-2]


def test_the_stages_of_step_audio_are_understood(tmp_path):
    for part in ("train", "dev"):
        (tmp_path / "data" / part).mkdir(parents=True)
        for name in ("wav.scp", "text", "utt2spk"):
            (tmp_path / "data" / part / name).write_text("a b\n")
    averaged = tmp_path / "exp" / "step_flow" / "flow" / "torch_ddp" / "flow_averaged.pt"
    averaged.parent.mkdir(parents=True)
    averaged.write_text("weights")
    commands = commands_of(RUNS / "step_flow" / "train_flow.sh", tmp_path)
    exported = tmp_path / "exp" / "step_flow" / "CosyVoice-300M-25Hz" / "flow.pt"
    assert exported.read_text() == "weights"
    tokens = [one[2:] for one in commands if one[:2] == ["-m", "sled"]]
    assert len(tokens) == 2
    for flags in tokens:
        assert build_parser("cache tokens").parse_args(flags).linguistic.name == "linguistic.pt"
    names = [parse(one) for one in commands if one[:2] != ["-m", "sled"]]
    assert names == [
        *["extract_embedding"] * 2,
        *["make_parquet_list"] * 2,
        *("train_cosyvoice", "average_model", "export_onnx"),
    ]


@pytest.mark.parametrize(
    ("model", "make_parser"), [("llm", make_lm_parser), ("dit", make_flow_parser)]
)
def test_the_commands_of_simpletts_are_understood(model, make_parser, tmp_path):
    settings = {"TRAIN": "train.jsonl", "EVAL": "eval.jsonl", "MODEL": model, "DEEPSPEED": "1"}
    [command] = commands_of(RUNS / "simpletts" / "run.sh", tmp_path, **settings)
    script = next(word for word in command if word.endswith(".py"))
    assert Path(script).is_file() and Path(script).stem == f"train_{model}"
    flags = command[command.index(script) + 1 :]
    config = flags.index("--deepspeed")
    assert json.loads(Path(flags[config + 1]).read_text())["zero_optimization"]["stage"] == 1
    values, unknown = make_parser().parse_known_args(flags)
    assert not unknown and values.data_path == "train.jsonl" and values.warmup_steps == 25_000
