"""Training does not depend on what a unit is: a model of ids trains and resumes as any other."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sled.data.dataset import SpeechDataset
from sled.model.huggingface import SpeechLlamaForCausalLM
from sled.training.arguments import parse_flags
from sled.training.run import save_result
from sled.training.setup import evaluation_batches, training_batches
from sled.training.trainer import SledTrainer
from tests.debug import debug_tokenizer, for_transformers
from tests.ids import debug_id_codec, debug_id_model
from tests.training.runs import assert_same_weights, flags, logged


def new_model() -> SpeechLlamaForCausalLM:
    """The debug model of ids with all that is random in training, except for noise on vectors."""
    model = for_transformers(debug_id_model())
    objective = model.config.objective
    objective.training_cfg, objective.scheduled_sampling, objective.dropout = 0.2, 0.5, 0.1
    return model


def train_ids(
    corpus: Path, output: Path, checkpoint: Path | None = None, **changes: Any
) -> SledTrainer:
    """Train the debug model of ids on a corpus whose audio its codec encodes."""
    settings = {
        "train_manifest": corpus / "cuts.jsonl.gz",
        "eval_manifest": corpus / "cuts.jsonl.gz",
    }
    _, _, data, args = parse_flags(flags(corpus, output, **(settings | changes)))
    codec, tokenizer = debug_id_codec(), debug_tokenizer()
    trainer = SledTrainer(
        model=new_model(),
        args=args,
        codec=codec,
        train_dataset=SpeechDataset(tokenizer, codec),
        train_batches=training_batches(data, args, codec),
        eval_batches=evaluation_batches(data, args),
        eval_dataset=data.eval_manifest,
        flags={},
        processing_class=tokenizer,
    )
    torch.manual_seed(0)
    trainer.run(checkpoint)
    save_result(trainer)
    return trainer


def test_a_model_of_ids_learns_and_is_evaluated(corpus: Path, tmp_path: Path) -> None:
    settings = {"max_steps": 20, "learning_rate": 1e-2, "eval_strategy": "steps", "eval_steps": 20}
    trainer = train_ids(corpus, tmp_path, **settings)
    losses = logged(tmp_path, "score_loss")
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    [metrics] = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    assert metrics["eval_score_loss"] > 0
    assert "eval_inactive_neurons" not in metrics  # only the energy head has some


def test_an_interrupted_run_of_ids_continues_bit_equal(corpus: Path, tmp_path: Path) -> None:
    saving = {"save_strategy": "steps", "save_steps": 1, "learning_rate": 1e-2}
    train_ids(corpus, tmp_path / "whole", max_steps=4, **saving)
    cut = tmp_path / "cut"
    train_ids(corpus, cut, max_steps=4, **saving)
    for step in (3, 4):  # as if it had been killed after step 2
        folder = cut / f"checkpoint-{step}"
        assert folder.is_dir()
        folder.rename(tmp_path / folder.name)
    (cut / "model.safetensors").unlink()
    train_ids(corpus, cut, cut / "checkpoint-2", max_steps=4, **saving)
    assert_same_weights(tmp_path / "whole", cut)


def test_noise_on_ids_is_refused(corpus: Path, tmp_path: Path, monkeypatch: Any) -> None:
    model = new_model()
    model.config.objective.history_noise = 0.5
    monkeypatch.setattr("tests.training.test_ids.new_model", lambda: model)
    with pytest.raises(ValueError, match="history_noise needs latent vectors"):
        train_ids(corpus, tmp_path)
