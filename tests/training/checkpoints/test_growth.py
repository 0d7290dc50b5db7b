"""Growing a model: it computes the same, and all new parts learn."""

import json

import pytest
import torch

from sled import TTS, DecodingOptions
from sled.model.lm import num_parameters
from sled.training.checkpoints.growth import grow
from tests.commands import run
from tests.debug import GOLDENS, LAYOUT_IDS, LAYOUTS, debug_checkpoint, debug_model, randn
from tests.ids import NUM_IDS, debug_id_model

SIZES = {
    "hidden_size": 48,
    "intermediate_size": 72,
    "num_attention_heads": 6,
    "num_hidden_layers": 3,
    "diffloss_d": 4,
}
EACH_AND_ALL = [{key: size} for key, size in SIZES.items()] + [SIZES]


def loss_of(model):
    ids, latents = torch.arange(3, 23).view(2, 10), randn(2, 9, 32)
    ones = torch.ones(2, 10, dtype=torch.long)
    # The noise of the head's draws: the same for both.
    return model(ids, ones, latents, ones[:, :9], noise=randn(2, 18, 8, seed=1))


@pytest.mark.parametrize("layout", LAYOUTS, ids=LAYOUT_IDS)
@pytest.mark.parametrize("sizes", EACH_AND_ALL, ids=lambda sizes: "-".join(sizes))
@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("loudness", [1.0, 0.01])
@torch.no_grad()
def test_a_grown_model_computes_what_it_did(loudness, sizes, layout, kv_heads):
    """Even if the inputs of the first norm are so small that its epsilon matters."""
    model = debug_model(num_key_value_heads=kv_heads, **layout)
    for weight in (model.model.embed_tokens.weight, model.z_proj.weight, model.z_proj.bias):
        weight *= loudness
    grown = grow(model, sizes)
    assert num_parameters(grown.config) > num_parameters(model.config)
    before, after = loss_of(model), loss_of(grown)
    for part in ("score_loss", "stop_loss"):
        torch.testing.assert_close(
            getattr(after, part), getattr(before, part), rtol=1e-4, atol=1e-5
        )
    narrow = model.config.architecture.hidden_size
    torch.testing.assert_close(
        after.hidden_states[:, :narrow], before.hidden_states, rtol=1e-4, atol=1e-4
    )


@torch.no_grad()
def test_inputs_of_any_kind_are_embedded_as_before():
    """Units that are ids, and conditions."""
    model = debug_id_model(conditions={"speaker": 6})
    grown = grow(model, {"hidden_size": 48, "num_attention_heads": 6})
    ids, conditions = torch.arange(NUM_IDS), {"speaker": randn(6)}
    for embed in (
        lambda one: one.embed_text(ids),
        lambda one: one.embed_units(ids),
        lambda one: one.embed_conditions(conditions),
    ):
        before, after = embed(model), embed(grown)
        narrow = before.shape[-1]
        torch.testing.assert_close(after[..., :narrow], before, rtol=1e-4, atol=1e-5)
        assert after[..., narrow:].abs().max() < 1e-6


def test_all_that_is_new_learns():
    """In two steps: parts with zero output move first, then their inputs."""
    grown = grow(debug_model(), SIZES)
    start = {name: weight.detach().clone() for name, weight in grown.named_parameters()}
    optimizer = torch.optim.SGD(grown.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(grown).loss.backward()
        optimizer.step()
    moved = {name: (weight != start[name]).float() for name, weight in grown.named_parameters()}
    seen = "model.embed_tokens.weight"  # only the tokens that came
    assert moved.pop(seen)[3:23].mean() > 0.99
    assert {name: share.mean() for name, share in moved.items() if share.mean() < 0.9} == {}


def test_the_script_writes_a_checkpoint_that_speaks(tmp_path, capsys):
    source = debug_checkpoint(tmp_path / "small")
    flags = [f"--{key}={size}" for key, size in SIZES.items()]
    assert run("grow", "--model", source, "--output", tmp_path / "large", *flags) == 0
    assert "M parameters" in capsys.readouterr().out
    config = json.loads((tmp_path / "large" / "config.json").read_text())
    assert {key: config[key] for key in SIZES} == SIZES
    options = DecodingOptions(min_frames=10, max_frames=10)
    small, large = (
        TTS.from_pretrained(folder, codec=GOLDENS / "codec").synthesize(
            ["A word."], options=options
        )
        for folder in (source, tmp_path / "large")
    )
    torch.testing.assert_close(large[0].units, small[0].units, rtol=1e-3, atol=1e-3)


def test_the_seed_decides_what_is_added():
    first, again, other = (grow(debug_model(), SIZES, seed).state_dict() for seed in (1, 1, 2))
    assert all(first[name].equal(again[name]) for name in first)
    assert not all(first[name].equal(other[name]) for name in first)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--hidden_size=16"], "hidden_size is 32 and cannot shrink to 16"),
        ([], "no size is given"),
        (["--num_attention_heads=5"], "5 attention heads cannot share"),
    ],
)
def test_what_cannot_grow_is_refused(tmp_path, capsys, flags, complaint):
    source = debug_checkpoint(tmp_path / "small", num_key_value_heads=2)
    assert run("grow", "--model", source, "--output", tmp_path / "large", *flags) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "large").exists()
