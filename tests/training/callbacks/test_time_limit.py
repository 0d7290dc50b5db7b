"""Runs with a time limit end with a checkpoint, and continue from it."""

import logging

from sled.model.config import Config
from sled.training import batch_trainer
from sled.training.batch_trainer import BatchTrainer
from tests.training.runs import assert_same_weights, checkpoints, fit, logged

NO_TIME = {"max_minutes": 1e-9}  # enough for a step: it is known only then
# No step is random but by the state that a checkpoint keeps.
SETTINGS = {"max_steps": 3, "training_cfg": 0.3, "history_noise": 0.2}


def test_bits_of_time_add_up_to_a_run_without_a_limit(corpus, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="sled")
    whole = fit(corpus, tmp_path / "whole", **SETTINGS)
    for step in (1, 2, 3):
        run = fit(corpus, tmp_path / "run", **SETTINGS, **NO_TIME)
        assert checkpoints(run)[-1] == step
        assert_same_weights(run, run / f"checkpoint-{step}")  # there is a model at any time
        assert (f"time is up after step {step} of 3" in caplog.text) == (step < 3)
    assert_same_weights(whole, run)
    assert logged(whole, "loss") == logged(run, "loss")


def test_a_run_that_has_time_ends_by_itself(corpus, tmp_path):
    run = fit(corpus, tmp_path, **SETTINGS, max_minutes=60)
    assert checkpoints(run) == []
    assert len(logged(run, "loss")) == 3


def test_the_time_for_training_counts_over_interruptions(corpus, tmp_path, monkeypatch, caplog):
    """A clock that stands still between two runs, and has 20 s for each step."""
    now = [0.0]

    def step(*args, **kwargs):
        now[0] += 20.0
        return training_step(*args, **kwargs)

    training_step = BatchTrainer.training_step
    monkeypatch.setattr(BatchTrainer, "training_step", step)
    monkeypatch.setattr(batch_trainer, "training_seconds", lambda device: now[0])
    settings = {"max_steps": 9, "training_minutes": 1.5, "logging_steps": 1}
    fit(corpus, tmp_path / "run", **settings, **NO_TIME)
    now[0] += 1000.0
    caplog.set_level(logging.INFO, logger="sled")
    for _ in range(2):  # 90 s are over after the fifth step, and there is no other
        run = fit(corpus, tmp_path / "run", **settings)
        assert checkpoints(run)[-1] == 5
    lines = [message for message in caplog.messages if message.startswith("step ")]
    assert [line.endswith("left") for line in lines] == [True, True, True, False]
    assert "00:00 left" in lines[2]  # of the steps that take no time here
    whole = fit(corpus, tmp_path / "whole", **settings)
    assert_same_weights(whole, run)


def test_no_time_is_spent_on_an_evaluation(corpus, tmp_path):
    evaluation = {"eval_manifest": corpus / "cached", "eval_strategy": "steps", "eval_steps": 1}
    run = fit(corpus, tmp_path, **SETTINGS, **NO_TIME, **evaluation)
    assert logged(run, "eval_loss") == []


def test_a_checkpoint_says_how_its_texts_are_normalised(corpus, tmp_path):
    english = fit(corpus, tmp_path / "english", max_steps=1, text_normalization="english")
    assert Config.load(english).architecture.text_normalization == "english"
    tuned = fit(corpus, tmp_path / "tuned", max_steps=1, finetune_path=english)
    assert Config.load(tuned).architecture.text_normalization == "english"
