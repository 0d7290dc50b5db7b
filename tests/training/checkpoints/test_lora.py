"""Low-rank adapters: only they are trained, they survive, and they merge into a checkpoint."""

import re
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from sled import TTS
from sled.files.extras import install_command
from sled.model.huggingface import SpeechLlamaForCausalLM
from sled.training.arguments import LoraArguments
from sled.training.checkpoints.ema import EMA_FILE
from sled.training.checkpoints.lora import ADAPTER_FOLDER, add_adapters, save_merged, unwrap
from tests.debug import GOLDENS, debug_model, debug_tokenizer, for_transformers, randn
from tests.training.runs import assert_same_weights, fit, logged, weights

peft = pytest.importorskip("peft")

HEAD_LINEARS = ["cond_embed", "input_proj", "mlp.0", "mlp.2", "adaLN_modulation.1", "linear"]


def adapted_model(**changes) -> "peft.PeftModel":
    """A debug model with adapters that, unlike new ones, change its output."""
    model = add_adapters(for_transformers(debug_model()), LoraArguments(lora_rank=2, **changes))
    with torch.no_grad():
        for index, (name, weight) in enumerate(model.named_parameters()):
            if "lora_B" in name:
                weight.copy_(0.1 * randn(*weight.shape, seed=index))
    return model.eval()


def hidden_states(model: torch.nn.Module) -> Tensor:
    """Hidden states of a model for a fixed batch."""
    with torch.no_grad():
        output = model(
            input_ids=torch.tensor([[0, 7, 8, 2]]),
            attention_mask=torch.ones(1, 4, dtype=torch.long),
            units=randn(1, 6, 32),
            frame_mask=torch.ones(1, 6, dtype=torch.long),
            noise=randn(2, 6, 8),
        )
    return torch.cat((output.hidden_states.flatten(), output.loss[None]))


# The adapters.


@pytest.mark.parametrize("targets", [None, ["q_proj"], HEAD_LINEARS])
def test_only_adapters_have_gradients(targets):
    changes = {} if targets is None else {"lora_targets": targets}
    model = adapted_model(**changes).train()
    assert {n for n, p in model.named_parameters() if p.requires_grad} == {
        n for n, _ in model.named_parameters() if ".lora_" in n
    }
    places = {n.split(".lora_")[0].rpartition("base_model.model.")[2] for n in trained(model)}
    wanted = targets or LoraArguments().lora_targets
    assert {t for t in wanted if any(f".{p}".endswith(f".{t}") for p in places)} == set(wanted)
    assert all(any(f".{p}".endswith(f".{t}") for t in wanted) for p in places)


def trained(model: torch.nn.Module) -> list[str]:
    return [name for name, weight in model.named_parameters() if weight.requires_grad]


def test_new_adapters_change_nothing():
    model = for_transformers(debug_model())
    before = hidden_states(model)
    adapted = add_adapters(model, LoraArguments(lora_rank=4))
    assert hidden_states(adapted.eval()).equal(before)
    assert unwrap(adapted) is model is unwrap(model)


@pytest.mark.parametrize("targets", [LoraArguments().lora_targets, HEAD_LINEARS])
def test_a_merged_checkpoint_says_what_the_adapted_model_said(targets, tmp_path):
    model = adapted_model(lora_targets=targets)
    adapted, plain = hidden_states(model), hidden_states(debug_model())
    assert not torch.allclose(adapted, plain, atol=1e-2)
    save_merged(model, debug_tokenizer(), tmp_path)
    merged = SpeechLlamaForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(hidden_states(merged), adapted, rtol=1e-4, atol=1e-4)
    assert TTS.from_pretrained(tmp_path, codec=GOLDENS / "codec")


def test_a_merged_checkpoint_has_the_published_names(tmp_path):
    save_merged(adapted_model(lora_targets=["q_proj", *HEAD_LINEARS]), debug_tokenizer(), tmp_path)
    assert weights(tmp_path).keys() == debug_model().state_dict().keys()


def test_the_adapter_beside_it_fits_the_model_it_was_trained_on(tmp_path):
    model = adapted_model()
    adapted = hidden_states(model)
    save_merged(model, debug_tokenizer(), tmp_path)
    again = peft.PeftModel.from_pretrained(debug_model(), tmp_path / ADAPTER_FOLDER)
    torch.testing.assert_close(hidden_states(again.eval()), adapted, rtol=1e-5, atol=1e-5)


# In training.


def test_what_is_not_adapted_stays_as_it_was(pretrained, corpus, tmp_path):
    adapting = {"finetune_path": pretrained, "lora_rank": 2, "lora_targets": ["q_proj", "v_proj"]}
    tuned = fit(corpus, tmp_path, **adapting)
    before, after = weights(pretrained), weights(tuned)
    changed = {name for name in before if not before[name].equal(after[name])}
    adapted = {name for name in before if name.split(".")[-2] in ("q_proj", "v_proj")}
    assert changed == adapted
    # A step along a matrix of rank 2.
    assert all(torch.linalg.matrix_rank(after[n] - before[n], rtol=1e-3) <= 2 for n in changed)


def test_checkpoints_on_the_way_hold_the_adapters_alone(pretrained, corpus, tmp_path):
    saving = {"save_strategy": "steps", "save_steps": 1}
    run = fit(corpus, tmp_path, finetune_path=pretrained, lora_rank=2, **saving)
    files = {path.name for path in (run / "checkpoint-2").iterdir()}
    assert "adapter_model.safetensors" in files and "model.safetensors" not in files
    adapter = load_file(run / "checkpoint-2" / "adapter_model.safetensors")
    assert all(".lora_" in name for name in adapter)


@pytest.mark.parametrize("ema_decay", [0.0, 0.6])
def test_an_interrupted_run_ends_as_if_it_had_not_been(ema_decay, pretrained, corpus, tmp_path):
    """Bit-equal, with all random parts of training switched on."""
    saving = {"save_strategy": "steps", "save_steps": 2, "max_steps": 6, "history_noise": 0.2}
    adapting = {
        "finetune_path": pretrained,
        "lora_rank": 2,
        "lora_dropout": 0.1,
        "ema_decay": ema_decay,
    }
    whole = fit(corpus, tmp_path / "whole", **saving, **adapting)
    resumed = tmp_path / "resumed"
    shutil.copytree(whole / "checkpoint-2", resumed / "checkpoint-2")
    fit(corpus, resumed, **saving, **adapting)
    assert_same_weights(whole, resumed)
    assert logged(whole, "loss") == logged(resumed, "loss")
    assert (whole / "checkpoint-2" / EMA_FILE).is_file() == bool(ema_decay)


def test_adapters_are_evaluated_and_learn(pretrained, corpus, tmp_path):
    evaluating = {"eval_manifest": corpus / "cached", "eval_strategy": "steps", "eval_steps": 10}
    learning = {"max_steps": 40, "learning_rate": 1e-2, "per_device_train_batch_size": 6}
    head = [*LoraArguments().lora_targets, *HEAD_LINEARS]
    adapting = {"finetune_path": pretrained, "lora_rank": 4, "lora_targets": head}
    losses = logged(fit(corpus, tmp_path, **evaluating, **learning, **adapting), "eval_loss")
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora_rank": 2}, "name it with --finetune_path"),
        ({"lora_rank": -1}, "--lora_rank -1"),
        ({"lora_rank": 2, "lora_targets": ["q_proj", "lm_head"]}, "--lora_targets lm_head"),
    ],
)
def test_adapters_that_cannot_be_are_refused(changes, message, pretrained, corpus, tmp_path):
    start = {"finetune_path": pretrained} if "lora_targets" in changes else {}
    with pytest.raises(ValueError, match=message):
        fit(corpus, tmp_path, **start, **changes)


def test_without_the_extra_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ValueError, match=re.escape(install_command("finetune"))):
        add_adapters(for_transformers(debug_model()), LoraArguments(lora_rank=2))
