"""The mean of several draws."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sled.decoding import Decoder, DecodingOptions, Request, generate
from sled.model.heads.draws import mean_draw, noise_variants
from tests.debug import debug_model, randn
from tests.fast.forms import fast_model

NEVER = 2.0
TEXT = [0, 7, 8, 2]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.inference_mode()
def test_a_frame_is_the_mean_of_its_draws():
    """With K = 1 it is the draw itself; with K = 2, the mean with the draw of the negated noise."""
    model, hidden, noise = debug_model(), randn(1, 32), randn(1, 8)
    one = model.draw(hidden, noise)
    assert mean_draw(model.draw, hidden, noise, torch.tensor([1]), 1).equal(one)
    two = mean_draw(model.draw, hidden, noise, torch.tensor([2]), 2)
    torch.testing.assert_close(two, (one + model.draw(hidden, -noise)) / 2)


@torch.inference_mode()
def test_it_comes_near_the_mean_of_draws_that_have_nothing_in_common():
    model, hidden = debug_model(), randn(1, 32)
    truth = model.draw(hidden.repeat(20000, 1), randn(20000, 8, seed=1)).mean(0)
    distances = [
        torch.stack(
            [
                (mean_draw(model.draw, hidden, randn(1, 8, seed=s), torch.tensor([k]), k) - truth)
                for s in range(50)
            ]
        ).norm(dim=-1)
        for k in (1, 8)
    ]
    # Of eight draws without anything in common the square would be an eighth.
    assert distances[1].square().mean() < 1 / 6 * distances[0].square().mean()


@given(count=st.integers(1, 24))
def test_all_noise_is_normal_and_no_two_are_the_same(count):
    noise = randn(1, 128)
    variants = noise_variants(noise, count)
    assert variants.shape == (count, 1, 128)
    assert variants[0].equal(noise)
    sizes = variants.abs().sort(-1).values
    assert (sizes == sizes[0]).all()
    assert len({tuple(one.flatten().tolist()) for one in variants}) == count


@pytest.mark.parametrize("form", ["plain", "cuda_graph", "int8"])
def test_each_gets_its_own_number_whatever_that_of_the_others(form):
    model = debug_model() if form == "plain" else fast_model(form)
    kinds = {seed: options(draws) for seed, draws in enumerate((1, 8, 3))}
    decoder = Decoder(model)
    joined = {decoder.join(Request(TEXT), seeded(seed), kind): seed for seed, kind in kinds.items()}
    written = {seed: [] for seed in kinds}
    while decoder.utterances:
        step = decoder.step()
        for one, frame in zip(step.utterances, step.units, strict=True):
            written[joined[one]].append(frame)
    for seed, kind in kinds.items():
        alone = generate(model, [Request(TEXT)], [seeded(seed)], kind)[0].units
        ours = torch.stack(written[seed])
        assert (ours - alone).norm() <= 1e-5 * alone.norm()
    assert not torch.allclose(written[1][0], written[2][0])


def options(draws: int) -> DecodingOptions:
    return DecodingOptions(draws=draws, stop_threshold=NEVER, max_frames=6)
