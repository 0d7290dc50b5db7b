"""Every head on a distribution of two dimensions: how well it matches, and what collapses."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from sled.fast import make_fast
from sled.model.config import Config
from sled.model.heads import HEADS, Head
from sled.model.heads.flow import draw_times
from sled.model.heads.scores.drifting import drift
from tests.debug import debug_config, debug_model, randn

# What each head is, and how far its draws may be from the data, in energy distance. Of the data
# among themselves it is 0, of their mean alone about 0.5.
VARIANTS = {
    "energy, 2 draws": ({"score_samples": 2}, 0.06),
    "energy, 8 draws": ({"score_samples": 8}, 0.04),
    "energy, beta 1.5": ({"score_samples": 4, "score_beta": 1.5}, 0.06),
    "gaussian_mmd": ({"score": "gaussian_mmd", "score_samples": 8}, 0.06),
    "laplacian_mmd": ({"score": "laplacian_mmd", "score_samples": 8}, 0.06),
    "drifting": ({"score": "drifting", "score_samples": 8}, 0.05),
    "flow": ({"head": "flow", "head_steps": 8, "score_samples": 4}, 0.06),
    "flow_map": ({"head": "flow_map", "score_samples": 4}, 0.1),
    # One Gaussian cannot be two clouds, but has their mean and spread.
    "gaussian": ({"head": "gaussian"}, 0.2),
}
SIZES = {"vae_embed_dim": 2, "hidden_size": 8, "num_attention_heads": 2, "diffloss_w": 32}
SIZES |= {"noise_channels": 4, "diffloss_d": 1}
STEPS, FRAMES = 90, 64


def toy_data(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Hidden states [F, 8] of two kinds, and points [F, 2]: two clouds, across or along."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.randint(2, (count,), generator=generator)
    side = 2.0 * torch.randint(2, (count,), generator=generator) - 1
    points = 0.25 * torch.randn(count, 2, generator=generator)
    points[torch.arange(count), kind] += side
    return torch.nn.functional.one_hot(kind, 8).float(), points


def make_head(config: Config) -> Head:
    return HEADS[config.architecture.head](config.architecture, config.objective)


@cache
def trained(variant: str) -> Head:
    settings, _ = VARIANTS.get(variant, ({"score": variant}, 0))
    torch.manual_seed(0)
    head = make_head(debug_config(**SIZES, **settings))
    optimizer = torch.optim.Adam(head.parameters(), 6e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, STEPS)
    for step in range(STEPS):
        hidden, target = toy_data(FRAMES, step + 1)
        noise = head.draw_noise(FRAMES, torch.device("cpu"))
        optimizer.zero_grad()
        head.score(hidden, target, noise).value.mean().backward()
        optimizer.step()
        schedule.step()
    return head.eval()


@torch.no_grad()
def draws_of(head: Head, kind: int, count: int = 600) -> Tensor:
    hidden = torch.nn.functional.one_hot(torch.full((count,), kind), 8).float()
    return head.draw(hidden, randn(count, head.noise_width, seed=5))


def energy_distance(ours: Tensor, theirs: Tensor) -> float:
    """Squared energy distance, as Szekely and Rizzo (2013) write it."""
    within = torch.cdist(ours, ours).mean() + torch.cdist(theirs, theirs).mean()
    return float(2 * torch.cdist(ours, theirs).mean() - within)


def data_of(kind: int) -> Tensor:
    hidden, points = toy_data(4_000, 0)
    return points[hidden[:, kind] == 1][:600]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_head_learns_both_distributions(variant: str) -> None:
    head, (_, limit) = trained(variant), VARIANTS[variant]
    for kind in (0, 1):
        assert energy_distance(draws_of(head, kind), data_of(kind)) < limit
        crossed = energy_distance(draws_of(head, kind), data_of(1 - kind))
        assert crossed > 0.15  # the hidden state decides


def test_without_repulsion_all_draws_are_the_same() -> None:
    head = trained("attraction")
    collapsed, matched = draws_of(head, 0), draws_of(trained("energy, 8 draws"), 0)
    assert collapsed.std(0).max() < 0.35 * matched.std(0).max()
    assert energy_distance(collapsed, data_of(0)) > 5 * energy_distance(matched, data_of(0))


def test_the_field_of_drifting_vanishes_where_distributions_match() -> None:
    frames, width = 20_000, 2**0.5
    samples, target = randn(3, frames, 2, seed=1), randn(frames, 2, seed=2)
    field = drift(samples, target, width)
    error = 4 * field.std() / (3 * frames) ** 0.5
    assert field.mean((0, 1)).abs().max() < error
    # Around the centre of the data it points there, and away from draws that are too close.
    far = drift(samples + 1.0, target, width).mean((0, 1))
    assert (far < -0.05).all()
    narrow = 0.3 * samples
    assert (drift(narrow, target, width) * narrow).sum(-1).mean() > 0


def test_more_steps_of_a_flow_go_nearer_to_the_data() -> None:
    head = trained("flow")
    distances = {}
    for steps in (1, 8):
        head.architecture.head_steps = steps
        distances[steps] = energy_distance(draws_of(head, 1), data_of(1))
    head.architecture.head_steps = 8
    assert distances[8] < 0.5 * distances[1]


def test_times_are_within_their_limits_and_noise_is_clamped() -> None:
    normal = randn(5_000)
    uniform, middle = draw_times(normal, "uniform"), draw_times(normal, "lognormal")
    assert uniform.min() >= 0 and uniform.max() <= 1
    assert uniform.std() == pytest.approx(12**-0.5, abs=0.01) and middle.std() < uniform.std()
    head = make_head(debug_config(noise_clamp=1.5))
    noise = head.draw_noise(500, torch.device("cpu"))
    assert noise.abs().max() == 1.5


@pytest.mark.parametrize("head", ["flow", "flow_map", "gaussian"])
def test_other_heads_speak_in_float32_only(head: str) -> None:
    model = debug_model(head=head)
    assert model.noise_width == model.unit_shape[0] == 32
    with pytest.raises(ValueError, match=f"int8 is for the energy head, and this one is {head}"):
        make_fast(model, "int8")
    fast = make_fast(model, "float32")
    hidden, noise = randn(3, 32), randn(3, 32, seed=1)
    torch.testing.assert_close(fast.draw(hidden, noise), model.draw(hidden, noise))
