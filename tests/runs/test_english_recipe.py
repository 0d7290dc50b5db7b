"""The recipe for the English voice: its commands exist, with their flags; it ends in time."""

import os
import subprocess
from pathlib import Path

import pytest

from sled.cli.commands import COMMANDS
from sled.training.arguments import make_parser
from tests.commands import recorded, run

RECIPE = Path(__file__).parents[2] / "runs" / "english" / "run.sh"
STAGES = ["model", "cool"]
# Stands in for Python: it writes down what it is to run, and says that training has taken its
# steps, unless it is to be short of time.
RECORDER = """#!/bin/bash
printf '%s\\037' "$@" >>{log}
echo >>{log}
while [ $# -gt 1 ]; do
    [ "$1" != --output_dir ] || folder=$2
    [ "$1" != --max_steps ] || steps=$2
    shift
done
[ -n "${{steps:-}}" ] || exit 0
mkdir -p "$folder"
echo "  \\"global_step\\": ${{TAKEN:-$steps}}," >"$folder/trainer_state.json"
"""


def follow(folder: Path, **settings: object) -> list[list[str]]:
    """Run the recipe with a stand-in for Python; returns the commands it wanted to be run."""
    log, recorder = folder / "commands.txt", folder / "python"
    log.write_text("")
    recorder.write_text(RECORDER.format(log=log))
    recorder.chmod(0o755)
    (folder / "out" / "results" / "codec").mkdir(parents=True, exist_ok=True)
    (folder / "out" / "results" / "codec" / "results.md").touch()
    own = {"PYTHON": recorder, "RUN": folder / "out", "TEXTS": folder} | settings
    environment = os.environ | {name: str(value) for name, value in own.items()}
    subprocess.run(["bash", RECIPE], env=environment, check=True, capture_output=True, cwd=folder)
    return recorded(log.read_text())


def training_of(command: list[str]) -> dict[str, object]:
    assert command[0] == "train"
    return vars(make_parser().parse_args(command[1:]))


@pytest.mark.parametrize("setting", ["cpu", "gpu"])
def test_every_flag_is_one_that_its_command_has(setting, tmp_path, capsys):
    commands = follow(
        tmp_path,
        SETTING=setting,
        VOICES="af_bella am_adam",
        KOKORO="kokoro",
        PIPER="en_US-joe-medium.onnx",
        RECORDINGS="anna/manifest.jsonl",
        HELD_OUT="anna",
        JUDGES="--dnsmos",
        MINUTES=90,
    )
    explained: dict[str, str] = {}
    for command in commands:
        name = command[0]
        if name not in explained:
            assert run(name, "--help-all" if COMMANDS[name].own_parser else "--help") == 0
            explained[name] = capsys.readouterr().out
        flags = [word for word in command if word.startswith("--")]
        assert [flag for flag in flags if flag not in explained[name]] == []
    assert len(explained) == (10 if setting == "cpu" else 9)


def test_each_stage_goes_on_from_the_one_before(tmp_path):
    commands = follow(tmp_path)
    stages = [training_of(command) for command in commands if command[0] == "train"]
    folders = [str(tmp_path / "out" / name) for name in STAGES]
    (growth,) = [c for c in commands if c[0] == "grow"]
    grown = str(tmp_path / "out" / "grown")
    assert growth[1:5] == ["--model", folders[0], "--output", grown]
    assert [stage["output_dir"] for stage in stages] == folders
    assert [stage["finetune_path"] for stage in stages] == [None, grown]
    assert [stage["lr_scheduler_type"] for stage in stages] == ["constant_with_warmup", "linear"]
    assert [stage["text_normalization"] for stage in stages][0] == "english-phonemes"
    assert [stage["stream_n"] for stage in stages] == [12, 12]
    assert follow(tmp_path) == []  # all is done


def test_all_codes_that_are_trained_with_know_when_letters_are_said(tmp_path):
    commands = follow(tmp_path, STAGES="corpus latents")
    (aligner,) = [command for command in commands if command[0] == "align"]
    aligned = aligner[aligner.index("--output") + 1 :][:2]
    encoders = [command for command in commands if command[0] == "cache codes"]
    assert [encoder[encoder.index("--manifest") + 1] for encoder in encoders] == aligned


def test_what_speaks_in_the_end_has_learnt_this_voice(tmp_path):
    """The model is trained on latents that the codec keeps; only its sound is another."""
    commands = follow(tmp_path)
    out = tmp_path / "out"
    (adapted,) = [c for c in commands if c[0] == "codec train"]
    assert adapted[adapted.index("--finetune_path") + 1] == str(out / "latents")
    by_codec = {c[0]: c[c.index("--codec") + 1] for c in commands if "--codec" in c}
    listened = [c for c in commands if c[0] == "evaluate"]
    assert [Path(c[c.index("--codec") + 1]).name for c in listened] == ["latents", *["sound"] * 3]
    assert by_codec["train"] == str(out / "latents")
    assert by_codec["export"] == str(out / "sound")


def test_a_model_that_is_trained_anew_is_heard_anew(tmp_path):
    follow(tmp_path)
    (tmp_path / "out" / "cool" / "trainer_state.json").unlink()
    names = [command[0] for command in follow(tmp_path)]
    assert names == ["train", *["evaluate"] * 3, "export"]


def test_from_another_model_only_the_second_stage_is_trained(tmp_path):
    commands = follow(tmp_path, START="english")
    names = [command[0] for command in commands]
    assert "tokenizer" not in names and "grow" not in names
    (stage,) = [training_of(command) for command in commands if command[0] == "train"]
    moved = tmp_path / "out" / "moved"
    assert stage["finetune_path"] == str(moved) and stage["tokenizer"] == "english"
    move = next(command for command in commands if command[0] == "runs/english/move.py")
    assert move[1] == "english" and move[-1] == str(moved)


def test_on_a_graphics_card_nothing_grows(tmp_path):
    commands = follow(tmp_path, SETTING="gpu", STAGES="model")
    assert [command[0] for command in commands] == ["train", "train"]
    assert training_of(commands[1])["finetune_path"] == str(tmp_path / "out" / "model")


def test_a_run_that_is_short_of_time_goes_on_where_it_stopped(tmp_path):
    parts = {"STAGES": "model", "MINUTES": 10}
    follow(tmp_path, STAGES="corpus")
    for _ in range(2):
        (command,) = follow(tmp_path, **parts, TAKEN=17)
        assert training_of(command)["output_dir"] == str(tmp_path / "out" / "model")
        assert 9.5 < float(str(training_of(command)["max_minutes"])) <= 10
    rest = [command[0] for command in follow(tmp_path, **parts)]
    assert rest == ["train", "grow", "train"]


@pytest.mark.parametrize("settings", [{"SETTING": "tpu"}, {"STAGES": "sleep"}])
def test_settings_that_are_none_are_refused(settings, tmp_path):
    with pytest.raises(subprocess.CalledProcessError) as failure:
        follow(tmp_path, **settings)
    assert failure.value.returncode == 2
