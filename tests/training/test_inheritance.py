"""Unset flags: settings come from the checkpoint, or are the defaults of a new model."""

import json
from pathlib import Path
from typing import Any

import pytest

from sled.model.config import Architecture, Config, Objective
from sled.training.arguments import ModelArguments
from sled.training.setup import build_model
from tests.debug import STREAM, debug_checkpoint, debug_codec, debug_tokenizer
from tests.training.runs import SIZES, align_evenly, fit, flags, make_corpus
from tests.training.test_token_channel import codec_with_channel

OWN = {
    "dropout": 0.25,
    "attention_dropout": 0.15,
    "training_cfg": 0.3,
    "history_noise": 0.5,
    "scheduled_sampling": 0.4,
    "score": "gaussian_mmd",
    "score_beta": 1.5,
    "score_samples": 3,
    "score_bandwidths": (0.5, 2.0),
    **STREAM,
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    vocab_size = debug_tokenizer().vocab_size
    folder = tmp_path_factory.mktemp("model")
    return debug_checkpoint(folder, vocab_size=vocab_size, **OWN, text_normalization="english")


def build(**settings: Any) -> Config:
    return build_model(ModelArguments(**settings), debug_tokenizer(), debug_codec()).config


def test_unset_flags_inherit_from_the_checkpoint(checkpoint: Path) -> None:
    config, old = build(finetune_path=str(checkpoint)), Config.load(checkpoint)
    assert config.objective == old.objective
    assert config.architecture == old.architecture
    assert (old.objective.score, old.architecture.stream_n) == ("gaussian_mmd", 3)


def test_set_flags_override_the_checkpoint(checkpoint: Path) -> None:
    given = {"dropout": 0.0, "score_samples": 2, "stream_n": 5, "stream_m": 9}
    config, old = build(finetune_path=str(checkpoint), **given), Config.load(checkpoint)
    assert (config.architecture.stream_n, config.architecture.stream_m) == (5, 9)
    assert (config.objective.dropout, config.objective.score_samples) == (0.0, 2)
    assert config.objective.history_noise == old.objective.history_noise
    offline = build(finetune_path=str(checkpoint), stream_n=0, stream_m=0).architecture
    assert (offline.stream_n, offline.stream_m) == (None, None)


def test_a_new_model_has_the_published_defaults() -> None:
    config = build(**SIZES)
    assert config.objective == Objective()
    published = Architecture()
    assert (config.architecture.stream_n, config.architecture.stream_m) == (None, None)
    assert config.architecture.text_normalization == published.text_normalization


def test_another_normalisation_than_that_of_the_checkpoint_is_refused(checkpoint: Path) -> None:
    """The weights depend on the normalisation."""
    same = {"finetune_path": str(checkpoint), "text_normalization": "english"}
    assert build(**same).architecture.text_normalization == "english"
    with pytest.raises(ValueError, match="was trained with english, leave the flag out"):
        build(**(same | {"text_normalization": "english-phonemes"}))


def test_a_run_records_the_settings_it_has_inherited(
    corpus: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """Without a token channel, attention is not guided."""
    run = fit(corpus, tmp_path / "run", finetune_path=checkpoint, max_steps=1, dropout=0.2)
    recorded = json.loads((run / "training_flags.json").read_text())
    expected = {key: value for key, value in OWN.items() if key != "score_bandwidths"}
    assert recorded["model"] | expected | {"dropout": 0.2} == recorded["model"]
    assert recorded["training"]["alignment_weight"] == 0
    assert Config.load(run).objective.history_noise == OWN["history_noise"]


@pytest.mark.parametrize(
    ("changes", "weight"), [({}, 1.0), ({"alignment_weight": 0.5}, 0.5)], ids=["unset", "set"]
)
def test_fine_tuning_with_a_token_channel_guides_attention(
    changes: dict[str, float], weight: float, tmp_path: Path
) -> None:
    """A new model with the same codec is not guided unless asked."""
    folder = make_corpus(tmp_path)
    align_evenly(folder / "cuts.jsonl.gz", folder / "aligned.jsonl.gz")
    codec_with_channel(folder / "codec")
    settings: dict[str, Any] = {
        "train_manifest": folder / "aligned.jsonl.gz",
        "codec": folder / "codec",
        "max_steps": 1,
    }
    weights = []
    new = fit(folder, tmp_path / "new", **settings)
    tuned = fit(folder, tmp_path / "tuned", **settings, finetune_path=new, **changes)
    for run in (new, tuned):
        recorded = json.loads((run / "training_flags.json").read_text())
        weights.append(recorded["training"]["alignment_weight"])
    assert weights == [0.0, weight]


def test_conditions_of_a_new_model_are_named_with_their_widths(
    corpus: Path, tmp_path: Path
) -> None:
    assert build(**SIZES, conditions=["speaker:4"]).architecture.conditions == {"speaker": 4}
    with pytest.raises(ValueError, match="--conditions speaker: give a name and a width"):
        build(**SIZES, conditions=["speaker"])
    assert "--conditions" not in flags(corpus, tmp_path)
