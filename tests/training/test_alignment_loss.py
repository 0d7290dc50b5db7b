"""Training with guided attention: `--alignment_weight`."""

from pathlib import Path

import pytest

from sled.model.config import Config
from tests.training.runs import (
    PLAIN,
    align_evenly,
    assert_same_weights,
    fit,
    logged,
    make_corpus,
    weights,
)


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus of the other tests, with words of equal length."""
    folder = make_corpus(tmp_path_factory.mktemp("aligned"))
    align_evenly(folder / "cuts.jsonl.gz", folder / "cuts.jsonl.gz")
    return folder


def fit_aligned(corpus: Path, output: Path, **changes: object) -> Path:
    return fit(corpus, output, train_manifest=corpus / "cuts.jsonl.gz", **changes)


def test_the_loss_is_logged_and_falls(aligned, tmp_path):
    taught = {"alignment_weight": 3, "max_steps": 30, "learning_rate": 0.02}
    evaluation = {"eval_manifest": aligned / "cuts.jsonl.gz", "eval_strategy": "steps"}
    run = fit_aligned(aligned, tmp_path / "run", **taught, **evaluation, eval_steps=15, **PLAIN)
    losses = logged(run, "alignment_loss")
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    first, last = logged(run, "eval_alignment_loss")
    assert 0 < last < first
    parts = [logged(run, name)[0] for name in ("score_loss", "stop_loss", "alignment_loss")]
    assert logged(run, "loss")[0] == pytest.approx(parts[0] + parts[1] + 3 * parts[2], rel=1e-3)


def test_it_is_the_same_however_a_step_is_cut_up(aligned, tmp_path):
    """One batch of six samples and two of three have the same loss."""
    settings = {"alignment_weight": 1, "max_steps": 1, "lr_scheduler_type": "constant", **PLAIN}
    runs = [
        fit_aligned(
            aligned,
            tmp_path / str(size),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=6 // size,
            **settings,
        )
        for size in (6, 3)
    ]
    losses = [logged(run, "alignment_loss")[0] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_without_weight_word_times_change_nothing(aligned, tmp_path):
    plain = fit_aligned(aligned, tmp_path / "plain")
    named = fit_aligned(aligned, tmp_path / "named", alignment_layer=1)
    assert_same_weights(plain, named)
    assert logged(plain, "alignment_loss") == []


def test_the_layer_can_be_named(aligned, tmp_path):
    runs = [
        fit_aligned(aligned, tmp_path / str(layer), alignment_weight=1, **named)
        for layer, named in ((0, {"alignment_layer": 0}), (1, {}))
    ]
    assert [Config.load(run).speaking.alignment_layer for run in runs] == [0, 1]
    first, middle = map(weights, runs)
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not first[name].equal(middle[name])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alignment_weight": -1}, "--alignment_weight -1"),
        ({"alignment_weight": 1, "alignment_layer": 2}, "give one from 0 to 1"),
    ],
)
def test_what_cannot_be_taught_is_refused(changes, message, aligned, tmp_path):
    with pytest.raises(ValueError, match=message):
        fit_aligned(aligned, tmp_path / "run", **changes)


def test_a_corpus_without_word_times_is_refused(aligned, tmp_path):
    """The cached corpus was encoded without times."""
    with pytest.raises(ValueError, match="prepare them with sled align"):
        fit(aligned, tmp_path / "run", alignment_weight=1)
