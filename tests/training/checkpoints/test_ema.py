"""The EMA of weights: its values, its storage, and its uses."""

import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from sled import TTS
from sled.model.huggingface import SpeechLlamaForCausalLM
from sled.training.checkpoints.ema import EMA_FILE, WeightEma
from tests.debug import GOLDENS
from tests.training.runs import assert_same_weights, fit, logged, weights

SAVING = {"save_strategy": "steps", "save_steps": 1}


def take_steps(average: WeightEma, model: nn.Module, values: list[float]) -> None:
    """Set all weights of a model to these values, step by step."""
    for value in values:
        with torch.no_grad():
            for weight in model.parameters():
                weight.fill_(value)
        average.on_step_end(None, None, None)  # type: ignore[arg-type]


values = st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=8)


@given(values=values, decay=st.floats(0, 0.99))
def test_an_average_follows_its_recursion(values: list[float], decay: float) -> None:
    model = nn.Linear(2, 1)
    average = WeightEma(model, decay)
    take_steps(average, model, values)
    expected = values[0]
    for value in values[1:]:
        expected = decay * expected + (1 - decay) * value
    with average.applied():
        for weight in model.parameters():
            assert weight.flatten().tolist() == pytest.approx([expected] * weight.numel(), abs=1e-4)


def test_averages_of_bfloat16_weights_are_finer_than_they_are(tmp_path: Path) -> None:
    """A thousandth of the step from 1 to 1.0078 is lost in bfloat16."""
    model = nn.Linear(1, 1, dtype=torch.bfloat16)
    average = WeightEma(model, decay=0.999)
    after = 1 + 2**-7
    take_steps(average, model, [1.0] + 100 * [after])
    expected = after + (1.0 - after) * 0.999**100
    average.save(tmp_path)
    weight = load_file(tmp_path / EMA_FILE)["weight"]
    assert weight.dtype == torch.float32
    assert weight.item() == pytest.approx(expected, rel=1e-5)


def test_a_model_has_its_own_weights_back_whatever_happens() -> None:
    model = nn.Linear(2, 1)
    average = WeightEma(model, decay=0.5)
    take_steps(average, model, [1.0, 3.0])
    with pytest.raises(RuntimeError, match="evaluation"), average.applied():
        assert model.weight.tolist() == [[2.0, 2.0]]
        raise RuntimeError("evaluation broke")
    assert model.weight.tolist() == [[3.0, 3.0]]


def test_weights_that_are_not_trained_are_not_averaged(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    model.weight.requires_grad_(False)
    WeightEma(model, decay=0.5).save(tmp_path)
    assert list(load_file(tmp_path / EMA_FILE)) == ["bias"]


def test_without_a_step_there_is_no_average_to_apply(tmp_path: Path) -> None:
    """As when a run without an EMA is continued with one; its weights must not be reset."""
    model = nn.Linear(2, 1)
    average = WeightEma(model, decay=0.5)
    with torch.no_grad():
        model.weight.fill_(7.0)
    average.load(tmp_path)
    with average.applied():
        assert model.weight.tolist() == [[7.0, 7.0]]


def test_averages_of_another_model_are_refused(tmp_path: Path) -> None:
    WeightEma(nn.Linear(2, 1), decay=0.5).save(tmp_path)
    with pytest.raises(ValueError, match="averages of other weights"):
        WeightEma(nn.Linear(2, 1, bias=False), decay=0.5).load(tmp_path)


# In training.


def test_the_final_model_is_the_average_and_the_weights_stay_in_the_checkpoint(corpus, tmp_path):
    averaged = fit(corpus, tmp_path / "averaged", **SAVING, ema_decay=0.5)
    plain = fit(corpus, tmp_path / "plain", **SAVING)
    expected = {name: tensor.clone() for name, tensor in weights(plain / "checkpoint-1").items()}
    for step in (2, 3):
        # Training itself is the same with and without averages.
        assert_same_weights(plain / f"checkpoint-{step}", averaged / f"checkpoint-{step}")
        for name, tensor in weights(plain / f"checkpoint-{step}").items():
            expected[name] = 0.5 * expected[name] + 0.5 * tensor
    torch.testing.assert_close(weights(averaged), expected)
    saved = load_file(averaged / "checkpoint-3" / EMA_FILE)
    assert all(tensor.equal(weights(averaged)[name]) for name, tensor in saved.items())


def test_the_file_of_averages_holds_a_model(corpus, tmp_path):
    """In place of a checkpoint's weights it can be spoken with."""
    run = fit(corpus, tmp_path, **SAVING, ema_decay=0.5)
    (run / "checkpoint-3" / EMA_FILE).replace(run / "checkpoint-3" / "model.safetensors")
    assert TTS.from_pretrained(run / "checkpoint-3", codec=GOLDENS / "codec")


def test_an_interrupted_run_goes_on_with_its_average_to_the_last_bit(corpus, tmp_path):
    settings = {**SAVING, "max_steps": 5, "ema_decay": 0.7}
    whole = fit(corpus, tmp_path / "whole", **settings)
    resumed = tmp_path / "resumed"
    shutil.copytree(whole / "checkpoint-2", resumed / "checkpoint-2")
    fit(corpus, resumed, **settings)
    assert_same_weights(whole, resumed)


def test_the_average_is_what_is_evaluated(corpus, tmp_path):
    evaluating = {"eval_manifest": corpus / "cached", "eval_strategy": "steps", "eval_steps": 1}
    run = fit(corpus, tmp_path / "run", **SAVING, **evaluating, ema_decay=0.9, learning_rate=1e-2)
    # A model that starts as the final average and learns nothing is evaluated to the same.
    change = {"finetune_path": run, "max_steps": 1, "learning_rate": 0.0}
    still = fit(corpus, tmp_path / "still", **evaluating, **change)
    assert logged(run, "eval_loss")[-1] == pytest.approx(logged(still, "eval_loss")[0], rel=1e-5)
    change["finetune_path"] = run / "checkpoint-3"
    raw = fit(corpus, tmp_path / "raw", **evaluating, **change)
    assert logged(run, "eval_loss")[-1] != pytest.approx(logged(raw, "eval_loss")[0], rel=1e-3)


def test_pure_bfloat16_runs_keep_their_type(corpus, tmp_path):
    run = fit(corpus, tmp_path, **SAVING, ema_decay=0.5, model_dtype="bfloat16")
    assert {tensor.dtype for tensor in load_file(run / "checkpoint-3" / EMA_FILE).values()} == {
        torch.float32
    }
    assert SpeechLlamaForCausalLM.from_pretrained(run).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ema_decay": 1.0}, "--ema_decay 1"),
        ({"ema_decay": -0.1}, "--ema_decay -0.1"),
        (
            {"ema_decay": 0.9, "load_best_model_at_end": True, "eval_strategy": "no"},
            "exclude each other",
        ),
    ],
)
def test_averages_that_make_no_sense_are_refused(changes, message, corpus, tmp_path):
    with pytest.raises(ValueError, match=message):
        fit(corpus, tmp_path, **changes)
