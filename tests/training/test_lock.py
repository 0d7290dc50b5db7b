"""Two runs do not write to one folder."""

import os
import signal
import time
from pathlib import Path

import pytest

from sled.training.checkpoints.lock import only_run_in
from tests.commands import run
from tests.training.runs import checkpoints, flags


def test_a_second_run_is_refused_in_one_line(corpus, tmp_path, capsys):
    output = tmp_path / "model"
    with only_run_in(output):
        assert run("train", *flags(corpus, output)) == 2
    error = capsys.readouterr().err
    assert f"another run is writing to {output}" in error
    assert error.count("\n") == 1
    assert not output.exists()


def test_a_second_training_of_a_codec_is_refused_too(corpus, tmp_path, capsys):
    manifest = ("--train_manifest", corpus / "cuts.jsonl.gz", "--eval_manifest")
    with only_run_in(tmp_path):
        status = run("codec train", *manifest, corpus / "cuts.jsonl.gz", "--output_dir", tmp_path)
    assert status == 2
    assert "another run is writing to" in capsys.readouterr().err


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        with only_run_in(tmp_path):
            (tmp_path / "begun").touch()
            time.sleep(600)
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    try:
        with pytest.raises(ValueError, match="another run"), only_run_in(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with only_run_in(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


def test_a_run_that_is_refused_leaves_nothing(corpus, tmp_path):
    assert run("train", *flags(corpus, tmp_path / "model", tokenizer="")) == 2
    assert not (tmp_path / "model").exists()
    assert run("train", *flags(corpus, tmp_path / "model", save_strategy="steps")) == 0
    assert checkpoints(tmp_path / "model")
