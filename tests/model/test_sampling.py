"""Drawing ids: recorded draws of the published sampler, and its definition as a slow loop."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from sled.model.ids import Sampling
from sled.model.sampling import IdDraws, draw_ids
from tests.debug import GOLDENS, randn

PUBLISHED = Sampling(top_p=0.8, top_k=25, window=10, repetitions=1)


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def draw(
    scores: Tensor,
    seeds: Sequence[int],
    sampling: Sampling,
    recent: Sequence[Sequence[int]] | None = None,
    temperature: float = 1.0,
    forbidden: Sequence[int] = (),
    useless: Sequence[int] = (),
) -> list[int]:
    rows = len(seeds)
    draws = IdDraws(
        [sampling] * rows,
        generators(seeds),
        recent or [[]] * rows,
        [forbidden] * rows,
        [useless] * rows,
    )
    return draw_ids(scores, [temperature] * rows, draws).tolist()


def draw_slowly(
    scores: Tensor, seed: int, sampling: Sampling, recent: Sequence[int], forbidden: Sequence[int]
) -> int:
    """The definition: candidates one by one, one multinomial for each draw."""
    generator = torch.Generator().manual_seed(seed)
    scores = scores.clone()
    scores[list(forbidden)] = -torch.inf
    probabilities = scores.softmax(-1)
    order = sorted(range(len(scores)), key=lambda i: -float(probabilities[i]))
    kept: list[int] = []
    mass = 0.0
    for one in order:
        if mass >= sampling.top_p or len(kept) == (sampling.top_k or len(scores)):
            break
        kept.append(one)
        mass += float(probabilities[one])
    drawn = kept[int(torch.multinomial(probabilities[kept], 1, generator=generator))]
    past = recent[len(recent) - min(len(recent), sampling.window) :]
    if past.count(drawn) >= sampling.repetitions:
        scores[drawn] = -torch.inf
        drawn = int(torch.multinomial(scores.softmax(-1), 1, generator=generator))
    return drawn


def test_recorded_draws_are_reproduced():
    recorded = load_file(GOLDENS / "tokens" / "cases.safetensors")
    seeds = list(range(10_000, 10_024))
    history = recorded["ras.history"].tolist()
    tokens = recorded["ras.tokens"].tolist()
    assert draw(recorded["ras.logp"], seeds, PUBLISHED, history) == tokens
    first = Sampling(top_p=0.8, top_k=25)
    assert draw(recorded["ras.logp"], seeds, first) == recorded["ras.first_draw"].tolist()
    assert recorded["ras.redrawn"].any()


@given(
    seeds=st.lists(st.integers(0, 2**32), min_size=1, max_size=4),
    top_p=st.floats(0.01, 1),
    top_k=st.integers(0, 9),
    window=st.integers(0, 6),
    repetitions=st.integers(1, 3),
    recent=st.lists(st.integers(0, 11), max_size=8),
    forbidden=st.lists(st.integers(0, 11), max_size=3),
)
@settings(max_examples=100)
def test_a_batch_is_drawn_as_each_utterance_alone_by_the_definition(
    seeds, top_p, top_k, window, repetitions, recent, forbidden
):
    sampling = Sampling(top_p=top_p, top_k=top_k, window=window, repetitions=repetitions)
    scores = 2 * randn(len(seeds), 12, seed=seeds[0] % 100)
    ours = draw(scores, seeds, sampling, [recent] * len(seeds), forbidden=forbidden)
    assert ours == [
        draw_slowly(row, seed, sampling, recent, forbidden)
        for row, seed in zip(scores, seeds, strict=True)
    ]
    assert not set(ours) & set(forbidden)


def test_drawn_ids_have_the_probabilities_of_their_scores_at_a_temperature():
    scores = randn(1, 8)
    seeds = list(range(4000))
    counts = torch.zeros(8)
    for one in draw(scores.expand(4000, -1), seeds, Sampling(), temperature=0.7):
        counts[one] += 1
    expected = (scores[0] / 0.7).softmax(-1)
    torch.testing.assert_close(counts / 4000, expected, rtol=0, atol=0.03)


@pytest.mark.parametrize("temperature", [1e-45, 1e-9])
def test_the_lowest_temperatures_draw_the_most_likely_id(temperature):
    scores = torch.tensor([[0.0, 1.0, 2.0, -1.0]])
    assert draw(scores, [0], Sampling(), temperature=temperature) == [2]


@pytest.mark.parametrize(
    ("forbidden", "useless", "expected"),
    [((), (), 2), ((2,), (), 1), ((), (2,), 1), ((2,), (1,), 0)],
)
def test_without_temperature_the_most_likely_id_is_drawn(forbidden, useless, expected):
    scores = torch.tensor([[0.0, 1.0, 2.0, -1.0]])
    drawn = draw(
        scores, [0], PUBLISHED, [[2, 1]], temperature=0, forbidden=forbidden, useless=useless
    )
    assert drawn == [expected]


def test_the_only_possible_id_is_drawn_again():
    assert draw(torch.zeros(1, 2), [0], PUBLISHED, [[1]], forbidden=[0]) == [1]


def test_useless_ids_cost_a_draw_only_if_they_are_drawn():
    scores = randn(200, 12, seed=3)
    seeds = list(range(200))
    free = draw(scores, seeds, PUBLISHED)
    ours = draw(scores, seeds, PUBLISHED, useless=[10, 11])
    assert not set(ours) & {10, 11}
    assert any(one >= 10 for one in free)
    assert all(a == b for a, b in zip(free, ours, strict=True) if a < 10)


def test_broken_scores_are_refused_before_anything_is_drawn():
    scores = torch.zeros(2, 3)
    scores[1, 0] = torch.nan
    both = generators([0, 1])
    draws = IdDraws([PUBLISHED] * 2, both, [[]] * 2, [[]] * 2, [[]] * 2)
    with pytest.raises(ValueError, match="not finite"):
        draw_ids(scores, [1.0, 1.0], draws)
    assert both[0].get_state().equal(generators([0])[0].get_state())


@pytest.mark.parametrize(
    "wrong", [{"top_p": 0.0}, {"top_p": 1.5}, {"top_k": -1}, {"window": -1}, {"repetitions": 0}]
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sampling(**wrong)
