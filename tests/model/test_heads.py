"""The scores against slow references and for propriety, and the network of the energy head."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sled.model.heads import EnergyHead, Score
from sled.model.heads.scores import drifting_score, energy_score, gaussian_mmd, laplacian_mmd
from sled.model.lm import SpeechLM
from tests.debug import debug_config, debug_model, randn

# Reference implementations: one frame at a time, straight from the definitions.


def slow_energy(samples, target, beta):
    pairs = list(combinations(range(len(samples)), 2))
    apart = [np.linalg.norm(samples[i] - samples[j]) ** beta for i, j in pairs]
    off = [np.linalg.norm(sample - target) ** beta for sample in samples]
    return 2 * np.mean(off) - np.mean(apart)


def slow_mmd(samples, target, bandwidths):
    def kernel(x, y):
        square = np.sum((x - y) ** 2)
        return np.mean([np.exp(-square / (2 * w**2 * len(x))) for w in bandwidths])

    pairs = list(combinations(range(len(samples)), 2))
    apart = [1 - kernel(samples[i], samples[j]) for i, j in pairs]
    return 2 * np.mean([1 - kernel(s, target) for s in samples]) - np.mean(apart)


@given(st.integers(2, 5), st.integers(1, 4), st.integers(1, 6), st.floats(0.3, 1.9))
def test_energy_score_equals_the_slow_reference(num_samples, num_frames, width, beta):
    samples, target = randn(num_samples, num_frames, width), randn(num_frames, width, seed=1)
    ours = energy_score(samples, target, beta).value
    theirs = [slow_energy(samples[:, f].numpy(), target[f].numpy(), beta) for f in range(len(ours))]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@given(st.integers(2, 5), st.integers(1, 4), st.integers(1, 6))
def test_gaussian_mmd_equals_the_slow_reference(num_samples, num_frames, width):
    samples, target = randn(num_samples, num_frames, width), randn(num_frames, width, seed=1)
    bandwidths = (0.4, 1.0, 3.0)
    ours = gaussian_mmd(samples, target, bandwidths).value
    theirs = [
        slow_mmd(samples[:, f].numpy(), target[f].numpy(), bandwidths) for f in range(num_frames)
    ]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def slow_drifting(samples, target, bandwidths):
    """The loss of a batch of one frame, straight from the equations."""
    points = [*samples, target]
    spread = np.mean([np.linalg.norm(a - b) for a, b in combinations(points, 2)])
    losses = []
    for i, sample in enumerate(samples):
        others = [other for j, other in enumerate(samples) if j != i]
        fields = []
        for w in bandwidths:
            near, *nears = (
                np.exp(-np.linalg.norm(sample - point) / (w * spread))
                for point in (target, *others)
            )
            pushes = (near * k * (target - s) for k, s in zip(nears, others, strict=True))
            fields.append(sum(pushes) / (near + sum(nears)) ** 2)
        losses.append(np.sum((np.mean(fields, 0) / spread) ** 2))
    return np.mean(losses)


@given(st.integers(2, 5), st.integers(1, 6))
def test_drifting_equals_the_slow_reference(num_samples, width):
    samples, target = randn(num_samples, 1, width), randn(1, width, seed=1)
    ours = drifting_score(samples, target, (0.4, 1.0, 3.0)).value
    theirs = slow_drifting(samples[:, 0].numpy(), target[0].numpy(), (0.4, 1.0, 3.0))
    np.testing.assert_allclose(ours, [theirs], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_drifting_is_the_same_at_any_scale(scale):
    """So the same target at another scale is matched as well: draws move in proportion."""
    samples, target = randn(6, 9, 4), randn(9, 4, seed=1)

    def loss_and_gradient(factor):
        draws = samples.clone().requires_grad_()
        value = drifting_score(factor * draws, factor * target).value
        return value, torch.autograd.grad(value.sum(), draws)[0]

    torch.testing.assert_close(loss_and_gradient(scale), loss_and_gradient(1.0))
    # Draws that have met their targets stay there.
    assert drifting_score(target.expand(3, -1, -1), target).value.abs().max() == 0


def test_two_samples_give_the_published_loss():
    (a, b), target = randn(2, 7, 5), randn(7, 5, seed=1)
    published = (a - target).norm(dim=-1) + (b - target).norm(dim=-1) - (a - b).norm(dim=-1)
    torch.testing.assert_close(energy_score(torch.stack((a, b)), target).value, published)


@pytest.mark.parametrize("score", [energy_score, gaussian_mmd, laplacian_mmd])
def test_more_samples_estimate_the_same_with_less_noise(score):
    """The estimates are unbiased: their means over 20,000 frames agree for two and four samples."""
    target = 0.5 + randn(20_000, 3, seed=1)
    two, four = (score(2 * randn(m, 20_000, 3, seed=m), target).value for m in (2, 4))
    standard_error = ((two.var() + four.var()) / len(two)).sqrt()
    assert abs(two.mean() - four.mean()) < 4 * standard_error
    assert four.var() < 0.8 * two.var()


def collapsed_and_true(score) -> tuple[Score, Score]:
    """Scores of two models of standard normal data: the right one, and one that draws its mean."""
    target = randn(5_000, 4, seed=1)
    return score(torch.zeros(2, 5_000, 4), target), score(randn(2, 5_000, 4), target)


@pytest.mark.parametrize("score", [energy_score, gaussian_mmd, laplacian_mmd])
def test_repulsion_is_what_keeps_samples_from_collapsing(score):
    collapsed, true = collapsed_and_true(score)
    assert (collapsed.repulsion == 0).all()
    assert true.value.mean() < collapsed.value.mean()
    # By attraction alone, the blurry mean would win.
    assert collapsed.attraction.mean() < true.attraction.mean()


@pytest.mark.parametrize("score", [energy_score, gaussian_mmd, laplacian_mmd])
@pytest.mark.parametrize("wrong", [lambda x: x + 0.5, lambda x: 1.5 * x, lambda x: 0.6 * x])
def test_only_the_true_distribution_is_best(score, wrong):
    samples, target = randn(2, 20_000, 2), randn(20_000, 2, seed=1)
    assert score(samples, target).value.mean() < score(wrong(samples), target).value.mean()


@pytest.mark.parametrize("score", [energy_score, gaussian_mmd, laplacian_mmd])
def test_one_sample_has_nothing_to_repel(score):
    with pytest.raises(ValueError, match="at least 2"):
        score(randn(1, 3, 2), randn(3, 2))


def test_scores_are_computed_in_float32():
    samples, target = randn(2, 4, 8).bfloat16(), randn(4, 8, seed=1).bfloat16()
    assert energy_score(samples, target).value.dtype == torch.float32
    assert energy_score(samples, target).value.equal(
        energy_score(samples.float(), target.float()).value
    )


# The head.


def slow_head(weights: dict[str, np.ndarray], noise: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """The published equations of the energy head, for one frame."""

    def linear(name, x):
        return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]

    def norm(x):
        return (x - x.mean()) / np.sqrt(x.var() + 1e-6)

    def silu(x):
        return x / (1 + np.exp(-x))

    y, x = linear("input_proj", noise), linear("cond_embed", hidden)
    num_blocks = len({name.split(".")[1] for name in weights if name.startswith("res_blocks")})
    for block in (f"res_blocks.{i}" for i in range(num_blocks)):
        noise_ln = norm(y) * weights[f"{block}.noise_ln.weight"] + weights[f"{block}.noise_ln.bias"]
        modulation = linear(f"{block}.adaLN_modulation.1", silu(noise_ln))
        shift, scale, gate = np.split(modulation, 3)
        inner = linear(f"{block}.mlp.0", norm(x) * (1 + scale) + shift)
        x = x + gate * linear(f"{block}.mlp.2", silu(inner))
    shift, scale = np.split(linear("final_layer.adaLN_modulation.1", silu(y)), 2)
    return linear("final_layer.linear", norm(x) * (1 + scale) + shift)


@torch.no_grad()
def test_the_head_computes_the_published_equations():
    head = debug_model(diffloss_d=3).scoreloss
    weights = {name: tensor.double().numpy() for name, tensor in head.net.state_dict().items()}
    noise, hidden = randn(5, 8), randn(5, 32, seed=1)
    drawn = head.draw(hidden, noise)
    for frame in range(5):
        expected = slow_head(weights, noise[frame].double().numpy(), hidden[frame].double().numpy())
        np.testing.assert_allclose(drawn[frame], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("score", ["energy", "gaussian_mmd", "laplacian_mmd"])
@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5])
def test_a_new_head_writes_zeros_and_learns_from_them(score, beta):
    """All samples coincide at the start, where norms have no derivative."""
    head = SpeechLM(debug_config(score=score, score_beta=beta)).scoreloss
    hidden, target, noise = randn(6, 32), randn(6, 32, seed=1), randn(2, 6, 8, seed=2)
    assert (head.draw(hidden, noise) == 0).all()
    head.score(hidden, target, noise).value.mean().backward()
    gradient = head.net.final_layer.linear.weight.grad
    assert gradient.isfinite().all()
    assert (gradient != 0).any()


@pytest.mark.parametrize("num_samples", [2, 3])
def test_all_noise_of_a_sample_is_drawn_before_the_next(num_samples):
    config = debug_config(score_samples=num_samples)
    head = EnergyHead(config.architecture, config.objective)
    drawn = head.draw_noise(5, torch.device("cpu"), torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(7)
    one_by_one = [torch.randn(5, 8, generator=generator) for _ in range(num_samples)]
    assert drawn.equal(torch.stack(one_by_one))


@torch.no_grad()
def test_the_configuration_chooses_the_score():
    hidden, target, noise = randn(6, 32), randn(6, 32, seed=1), randn(3, 6, 8, seed=2)
    head = debug_model(score_samples=3, score_beta=0.7).scoreloss
    samples = torch.stack([head.draw(hidden, one) for one in noise])
    expected = energy_score(samples, target, beta=0.7).value
    torch.testing.assert_close(head.score(hidden, target, noise).value, expected)

    head = debug_model(score="gaussian_mmd", score_bandwidths=(2.0,)).scoreloss
    expected = gaussian_mmd(samples, target, bandwidths=(2.0,)).value
    torch.testing.assert_close(head.score(hidden, target, noise).value, expected)
