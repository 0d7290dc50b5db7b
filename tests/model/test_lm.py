"""Checkpoints on disk, and which inputs a frame depends on."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel

from sled.model.huggingface import SpeechLlamaForCausalLM
from sled.model.lm import SpeechLM
from sled.model.registry import load_speech_lm, save_speech_lm
from tests.debug import (
    GOLDENS,
    LAYOUT_IDS,
    LAYOUTS,
    debug_config,
    debug_model,
    for_transformers,
    randn,
)
from tests.oracles import interleave

WEIGHTS = "model.safetensors"


def load_for_transformers(folder: Path, dtype: torch.dtype | None = None) -> SpeechLM:
    kinds = {} if dtype is None else {"dtype": dtype}
    return SpeechLlamaForCausalLM.from_pretrained(folder, **kinds)


in_both_forms = pytest.mark.parametrize("load", [load_speech_lm, load_for_transformers])
in_its_type_and_in_another = pytest.mark.parametrize("dtype", [None, torch.bfloat16])


def tensor_shapes(path) -> dict[str, list[int]]:
    with safe_open(path, "pt") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118


# Checkpoints.


@pytest.mark.parametrize("golden", ["offline", "stream"])
def test_a_published_checkpoint_is_saved_as_it_was_read(golden, tmp_path):
    SpeechLlamaForCausalLM.from_pretrained(GOLDENS / golden).save_pretrained(tmp_path)
    theirs, ours = load_file(GOLDENS / golden / WEIGHTS), load_file(tmp_path / WEIGHTS)
    assert ours.keys() == theirs.keys()
    assert all(ours[name].equal(theirs[name]) for name in theirs)


def test_a_new_model_has_the_published_names_and_shapes(tmp_path):
    config = SpeechLlamaForCausalLM.config_class.from_pretrained(GOLDENS / "offline")
    SpeechLlamaForCausalLM(config).save_pretrained(tmp_path)
    assert tensor_shapes(tmp_path / WEIGHTS) == tensor_shapes(GOLDENS / "offline" / WEIGHTS)


def test_the_published_size_is_204_million_parameters():
    with torch.device("meta"):
        model = SpeechLlamaForCausalLM(SpeechLlamaForCausalLM.config_class())
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == 204


@in_both_forms
@pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)
def test_saving_and_loading_changes_nothing(layout, load, tmp_path):
    """In both forms of saving and of loading."""
    model = debug_model(num_key_value_heads=2, conditions={"speaker": 3}, **layout)
    save_speech_lm(model, tmp_path / "plain")
    for_transformers(model).save_pretrained(tmp_path / "theirs")
    for name in ("plain", "theirs"):
        loaded = load(tmp_path / name)
        assert loaded.layout == model.layout
        assert not loaded.training
        state = loaded.state_dict()
        assert state.keys() == model.state_dict().keys()
        assert all(state[name].equal(tensor) for name, tensor in model.state_dict().items())
        assert loaded.digest() == model.digest()


def test_the_auto_classes_know_the_model(tmp_path):
    save_speech_lm(debug_model(), tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).model_type == "speech_llama"
    assert isinstance(AutoModel.from_pretrained(tmp_path), SpeechLlamaForCausalLM)


@in_both_forms
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_halves_every_weight_and_no_more(dtype, load, tmp_path):
    model = debug_model()
    save_speech_lm(model, tmp_path)
    loaded = load(tmp_path, dtype)
    for name, weight in model.named_parameters():
        assert loaded.get_parameter(name).equal(weight.to(dtype))
    # As it is stored, unless asked otherwise.
    for_transformers(loaded).to(dtype).save_pretrained(tmp_path / "half")
    assert load(tmp_path / "half").dtype == dtype


def test_a_loaded_model_can_be_trained(tmp_path):
    save_speech_lm(debug_model(), tmp_path)
    assert all(weight.requires_grad for weight in load_speech_lm(tmp_path).parameters())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda w: w.pop("z_proj.bias"), "missing: z_proj.bias"),
        (lambda w: w.update({"lm_head.weight": torch.zeros(3)}), "unknown: lm_head.weight"),
        (lambda w: w.update({"codec.a": torch.zeros(3)}), "unknown: codec.a"),
        (lambda w: w.update({"z_proj.bias": torch.zeros(3)}), "wrong shape: .*z_proj.bias"),
    ],
)
@in_both_forms
@in_its_type_and_in_another
def test_tensors_that_do_not_fit_are_refused_by_name(damage, message, load, dtype, tmp_path):
    save_speech_lm(debug_model(), tmp_path)
    weights = load_file(tmp_path / WEIGHTS)
    damage(weights)
    save_file(weights, tmp_path / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=message):
        load(tmp_path, dtype)


@in_both_forms
@in_its_type_and_in_another
def test_a_checkpoint_without_the_stop_weight_is_whole(load, dtype, tmp_path):
    """The weight is a constant of the format, which some writers leave out."""
    save_speech_lm(debug_model(), tmp_path)
    weights = load_file(tmp_path / WEIGHTS)
    del weights["bceloss.pos_weight"]
    save_file(weights, tmp_path / WEIGHTS, metadata={"format": "pt"})
    assert load(tmp_path, dtype).bceloss.pos_weight.tolist() == [100.0]


@in_both_forms
@in_its_type_and_in_another
def test_pickled_weights_are_never_read(load, dtype, tmp_path):
    model = debug_model()
    model.config.save(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        load(tmp_path, dtype)


@in_both_forms
@in_its_type_and_in_another
def test_broken_weights_are_refused(load, dtype, tmp_path):
    save_speech_lm(debug_model(), tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"not weights at all")
    with pytest.raises(ValueError, match="cannot read model.safetensors"):
        load(tmp_path, dtype)


def test_a_new_model_starts_as_published():
    torch.manual_seed(0)
    model = SpeechLM(debug_config(hidden_size=128, initializer_range=0.02))
    for name, weight in model.named_parameters():
        if name.endswith("norm.weight") or "_ln.weight" in name:
            assert (weight == 1).all(), name
        elif "adaLN_modulation" in name or "final_layer.linear" in name or name.endswith("bias"):
            assert (weight == 0).all(), name
        elif name.startswith("scoreloss"):  # Xavier-uniform
            bound = (6 / sum(weight.shape)) ** 0.5
            assert 0.9 * bound < weight.abs().max() <= bound, name
        else:
            assert weight.std().item() == pytest.approx(0.02, rel=0.2), name


# Causality.


@pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)
def test_a_frame_depends_on_all_that_precedes_it_and_on_nothing_else(layout):
    """Checked by the gradients of each predicting state with respect to each input."""
    num_tokens, num_frames = 8, 10
    model = debug_model(**layout)
    token_ids = torch.arange(20, 20 + num_tokens)[None]  # each its own row of the embedding
    latents = randn(1, num_frames, 32).requires_grad_()
    ones = (torch.ones(1, size, dtype=torch.long) for size in (num_tokens, num_frames))
    text_mask, speech_mask = ones
    hidden = model(token_ids, text_mask, latents, speech_mask).hidden_states

    order = interleave(*(layout.values() or (None, None)), num_tokens, num_frames)
    for t in range(num_frames):
        position = order.index(("speech", t)) - 1
        by_token, by_frame = torch.autograd.grad(
            hidden[position, 0],
            (model.model.embed_tokens.weight, latents),
            retain_graph=True,
            materialize_grads=True,
        )
        gradients = {"text": by_token[20:].abs().sum(-1), "speech": by_frame[0].abs().sum(-1)}
        read = {(k, i) for k in gradients for i in range(len(gradients[k])) if gradients[k][i] > 0}
        assert read == set(order[: position + 1])


def test_padding_has_no_gradient():
    model = debug_model()
    latents = randn(2, 6, 32).requires_grad_()
    speech_mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    text_mask = torch.tensor([[1] * 3, [1] * 2 + [0]])
    token_ids = torch.tensor([[0, 5, 2], [0, 2, 299]])
    model(token_ids, text_mask, latents, speech_mask).loss.backward()
    assert (latents.grad[1, 4:] == 0).all()
    assert (latents.grad[1, :4] != 0).any(-1).all()
    assert (model.model.embed_tokens.weight.grad[299] == 0).all()
