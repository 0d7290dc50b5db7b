"""Intervals and comparisons, against scipy's bootstrap and what is known of the distribution."""

import numpy as np
import pytest
from scipy import stats

from sled.evaluation.statistics import compare, estimate


def errors_of(rate: float, items: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors and words of texts of several lengths."""
    generator = np.random.default_rng(seed)
    words = generator.integers(1, 20, items)
    return generator.binomial(words, rate).astype(float), words.astype(float)


def test_the_interval_is_that_of_scipy() -> None:
    sums, counts = errors_of(0.1, 60, seed=0)
    ours = estimate(sums, counts)
    theirs = stats.bootstrap(
        (sums, counts),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    assert ours.value == sums.sum() / counts.sum()
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.004)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.004)


def test_the_luck_of_training_is_part_of_the_interval_of_several_models() -> None:
    """Models that differ by more than chance, on texts without number: scipy draws the models."""
    words = np.full((5, 400), 10.0)
    sums = np.repeat([[1.0], [2.0], [4.0], [5.0], [2.0]], 400, axis=1)
    ours = estimate(sums, words)
    theirs = stats.bootstrap(
        (sums.mean(1) / 10,),
        np.mean,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    assert ours.value == pytest.approx(0.28) and ours.items == 400
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.021)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.021)
    better = compare((sums, words), (sums - 0.5, words))  # each better than that of its row
    assert better.difference == pytest.approx(-0.05) and better.high < 0
    alone = compare((sums, words), (sums[:3] - 0.5, words[:3]))  # nothing is known of rows
    assert alone.high > 0
    one = errors_of(0.1, 60, seed=0)
    assert estimate(one[0][None], one[1][None]) == estimate(*one)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(25):
        one = estimate(*errors_of(0.1, 80, seed))
        inside += one.low <= 0.1 <= one.high
    assert inside >= 20


def test_texts_that_are_hard_for_both_do_not_hide_a_difference() -> None:
    """Paired, a small difference is found that the two intervals do not show."""
    generator = np.random.default_rng(0)
    words = np.full(100, 10.0)
    hard = generator.integers(0, 6, 100).astype(float)
    worse = hard + (generator.random(100) < 0.2)
    first, second = estimate(hard, words), estimate(worse, words)
    assert second.low < first.high
    compared = compare((hard, words), (worse, words))
    assert compared.difference == pytest.approx(second.value - first.value)
    assert compared.low > 0 and compared.probability_lower < 0.01
    assert compared.smallest_difference < first.smallest_difference
    back = compare((worse, words), (hard, words))
    assert back.difference == -compared.difference and back.probability_lower > 0.99


def test_equal_systems_are_a_draw_and_smaller_sets_show_less() -> None:
    sums, counts = errors_of(0.1, 50, seed=3)
    same = compare((sums, counts), (sums, counts))
    assert (same.difference, same.probability_lower) == (0.0, 0.5)
    whole, half = estimate(sums, counts), estimate(sums[:12], counts[:12])
    assert half.smallest_difference > whole.smallest_difference


def test_nothing_to_count_is_refused() -> None:
    none = np.zeros(3)
    with pytest.raises(ValueError, match="no denominator"):
        estimate(none, none)
    with pytest.raises(ValueError, match="2 and 3 items"):
        compare((np.ones(2), np.ones(2)), (np.ones(3), np.ones(3)))
