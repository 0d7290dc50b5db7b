"""Averaging checkpoints: the mean is correct, and only checkpoints of one model are averaged."""

import json
import math
from pathlib import Path

import pytest
import torch
import yaml

from sled import TTS
from sled.model.config import Config
from sled.model.huggingface import SpeechLlamaForCausalLM
from sled.text.tokenizer import TextTokenizer
from sled.training.checkpoints.averaging import (
    average_checkpoints,
    best_checkpoints,
    last_checkpoints,
)
from sled.training.editx.checkpoints import BestCheckpoints
from sled.training.tokens.average import best_published
from tests.commands import run
from tests.debug import GOLDENS, debug_checkpoint
from tests.training.runs import fit, weights


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory) -> Path:
    """A run with a checkpoint and an evaluation at each of 5 steps."""
    saving = {"save_strategy": "steps", "save_steps": 1, "max_steps": 5, "learning_rate": 1e-2}
    evaluating = {"eval_manifest": corpus / "cached", "eval_strategy": "steps", "eval_steps": 1}
    return fit(corpus, tmp_path_factory.mktemp("trained"), **saving, **evaluating)


def assert_mean(averaged: Path, folders: list[Path]) -> None:
    tensors = [weights(folder) for folder in folders]
    for name, average in weights(averaged).items():
        mean = torch.stack([each[name].double() for each in tensors]).mean(0)
        torch.testing.assert_close(average, mean.float(), rtol=1e-6, atol=0)


def steps(folders: list[Path]) -> list[int]:
    return [int(folder.name.removeprefix("checkpoint-")) for folder in folders]


def test_the_average_is_the_mean_and_speaks(trained, tmp_path):
    folders = [trained / "checkpoint-1", trained / "checkpoint-2", trained / "checkpoint-4"]
    average_checkpoints(folders, tmp_path / "new" / "average")
    assert_mean(tmp_path / "new" / "average", folders)
    assert TTS.from_pretrained(tmp_path / "new" / "average", codec=GOLDENS / "codec")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["average"]


def test_half_precision_checkpoints_have_a_mean_that_is_none(tmp_path):
    """The mean of two adjacent bfloat16 numbers lies between them."""
    for seed in (0, 1):
        folder = debug_checkpoint(tmp_path / str(seed), seed=seed)
        SpeechLlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)
    folders = [tmp_path / "0", tmp_path / "1"]
    average_checkpoints(folders, tmp_path / "average")
    assert_mean(tmp_path / "average", folders)


def test_runs_on_other_data_have_a_mean_with_the_lengths_of_the_first(tmp_path):
    folders = [
        debug_checkpoint(tmp_path / str(seed), seed=seed, trained_frames=100 * (seed + 1))
        for seed in (0, 1)
    ]
    average_checkpoints(folders, tmp_path / "average")
    assert_mean(tmp_path / "average", folders)
    assert Config.load(tmp_path / "average").speaking.trained_frames == 100


def test_the_last_are_those_with_the_highest_steps(trained, tmp_path):
    assert steps(last_checkpoints(trained, 2)) == [4, 5]
    for step in (9, 10, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
    (tmp_path / "checkpoint-old").mkdir()
    assert steps(last_checkpoints(tmp_path, 2)) == [10, 100]


def test_the_best_have_the_lowest_evaluation_loss(trained):
    history = json.loads((trained / "trainer_state.json").read_text())["log_history"]
    losses = {entry["step"]: entry["eval_loss"] for entry in history if "eval_loss" in entry}
    expected = sorted(sorted(losses, key=lambda step: losses[step])[:3])
    assert len(losses) == 5
    assert steps(best_checkpoints(trained, 3)) == expected


def test_a_checkpoint_between_evaluations_has_the_loss_of_the_nearest(tmp_path):
    evaluations = {100: 3.0, 200: 1.0, 300: 2.0}
    history = [{"step": step, "eval_loss": loss} for step, loss in evaluations.items()]
    history.append({"step": 120, "loss": 0.1})
    for step in (90, 130, 170, 210, 270):
        (tmp_path / f"checkpoint-{step}").mkdir()
    state = tmp_path / "checkpoint-270" / "trainer_state.json"
    state.write_text(json.dumps({"log_history": history}))
    assert steps(best_checkpoints(tmp_path, 2)) == [170, 210]
    assert steps(best_checkpoints(tmp_path, 3)) == [170, 210, 270]


def test_a_loss_that_is_no_number_is_never_the_best(tmp_path):
    evaluations = {100: math.nan, 200: 2.0, 300: math.nan, 400: 1.0}
    history = [{"step": step, "eval_loss": loss} for step, loss in evaluations.items()]
    for step in evaluations:
        (tmp_path / f"checkpoint-{step}").mkdir()
    state = tmp_path / "checkpoint-400" / "trainer_state.json"
    state.write_text(json.dumps({"log_history": history}))
    assert steps(best_checkpoints(tmp_path, 1)) == [400]
    assert steps(best_checkpoints(tmp_path, 2)) == [200, 400]
    # The same in the published form.
    for epoch, loss in enumerate(evaluations.values()):
        record = {"epoch": epoch, "step": epoch, "loss_dict": {"loss": loss}}
        (tmp_path / f"epoch_{epoch}_whole.yaml").write_text(yaml.safe_dump(record))
    names = [path.stem for path in best_published(tmp_path, 2)]
    assert names == ["epoch_3_whole", "epoch_1_whole"]
    # And where the best weights are kept as a run goes on.
    checkpoints = BestCheckpoints(tmp_path, "flow", "flow", {"model": {}})
    for epoch, loss in enumerate(evaluations.values()):
        where = {"epoch": epoch, "step": epoch, "is_whole": True, "learning_rate": 1.0}
        checkpoints.save(torch.nn.Linear(1, 1), **where, losses={"loss": loss}, states=dict)
    best = torch.load(tmp_path / "flow_best.pt", weights_only=True)
    assert (best["epoch"], best["val_loss"]) == (3, 1.0)


def test_the_script_averages_what_its_flags_choose(trained, tmp_path, capsys):
    chosen = {
        "last": ("--run", trained, "--last", 2),
        "named": ("--checkpoints", trained / "checkpoint-4", trained / "checkpoint-5"),
    }
    for name, which in chosen.items():
        assert run("average", *which, "--output", tmp_path / name) == 0
        assert_mean(tmp_path / name, [trained / "checkpoint-4", trained / "checkpoint-5"])
        assert f"{trained / 'checkpoint-5'}" in capsys.readouterr().out
    best = ("--run", trained, "--best", 2)
    assert run("average", *best, "--output", tmp_path / "best") == 0
    assert_mean(tmp_path / "best", best_checkpoints(trained, 2))


@pytest.fixture(scope="module")
def unlike(tmp_path_factory) -> Path:
    """A folder of checkpoints, each of which differs from `first` in some way."""
    folder = tmp_path_factory.mktemp("unlike")
    for name, changes in {
        "first": {},
        "wide": {"diffloss_w": 32},
        "stream": {"stream_n": 3, "stream_m": 4},
        "tokens": {},
        "weights": {},
        "broken": {},
        "listed": {},
    }.items():
        debug_checkpoint(folder / name, **changes)
    TextTokenizer.train(["other words"] * 2, 280).save_pretrained(folder / "tokens")
    (folder / "weights" / "model.safetensors").unlink()
    wide = (folder / "wide" / "model.safetensors").read_bytes()
    (folder / "broken" / "model.safetensors").write_bytes(wide)
    (folder / "listed" / "config.json").write_text("[]")
    (folder / "empty").mkdir()
    return folder


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("--checkpoints first wide", "differ in diffloss_w"),
        ("--checkpoints first stream", "differ in stream_m, stream_n"),
        ("--checkpoints first tokens", "differ in vocab.json"),
        ("--checkpoints first weights", "lacks model.safetensors"),
        ("--checkpoints first broken", "wrong shape: "),
        ("--checkpoints first listed", "config.json is not a JSON object"),
        ("--checkpoints first none", "none is incomplete, it lacks"),
        ("--run empty --last 1", "empty has 0 checkpoints, not 1"),
        ("--run empty --last 0", "0 checkpoints: use 1 or more"),
        ("--last 1", "--run is missing"),
        ("--checkpoints first --output first", "exists: name a new folder"),
    ],
)
def test_what_cannot_be_averaged_is_refused_in_one_line(
    which, message, unlike, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(unlike)
    output = () if "--output" in which else ("--output", tmp_path / "out")
    assert run("average", *which.split(), *output) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_never_evaluated_has_no_best_checkpoints(corpus, tmp_path):
    run_folder = fit(corpus, tmp_path, save_strategy="steps", save_steps=1, max_steps=2)
    with pytest.raises(ValueError, match="use --last"):
        best_checkpoints(run_folder, 1)
