"""How certain a figure is, and whether one system is better than another.

A figure is a ratio of sums over items: errors over words, or a sum of scores over their number. The
items are drawn again and again with replacement (bootstrap, Efron 1979), all seeds of an item
together, since they are not independent of each other. Of a system that is several models, trained
alike with different seeds, the models are drawn as well, so the interval includes the luck of
training. With few models it is too narrow: by sqrt((M - 1) / M) for their part of the variance.

Shapes: I items, M models, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 4_000
LEVEL = 0.95
# Of a difference that is found with a probability of 80 % at a level of 5 %, in standard errors.
DETECTABLE = 1.96 + 0.84


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: The figure.
        low: Lower end of the 95 % interval.
        high: Upper end.
        smallest_difference: The difference from a system with errors of its own, of the same size,
            that a test of this size finds in four of five cases.
        items: Number of items.
    """

    value: float
    low: float
    high: float
    smallest_difference: float
    items: int


@dataclass(frozen=True)
class Comparison:
    """A difference between two systems on the same items: the second minus the first.

    Attributes:
        difference: Of the figures.
        low: Lower end of its 95 % interval.
        high: Upper end.
        probability_lower: The probability that the second figure is lower.
        smallest_difference: The difference that a test of this size finds in four of five cases.
        items: Number of items that both have.
    """

    difference: float
    low: float
    high: float
    probability_lower: float
    smallest_difference: float
    items: int


def estimate(sums: np.ndarray, counts: np.ndarray) -> Estimate:
    """Estimate sum(sums) / sum(counts).

    Args:
        sums: [I] or [M, I] for example the errors of each item, over all seeds of speaking.
        counts: [I] or [M, I] for example its words.

    Raises:
        ValueError: If the counts are all zero.
    """
    if not counts.sum() > 0:
        raise ValueError("there is nothing to count: the figure has no denominator")
    items = sums.shape[-1]
    ratios = _resampled(sums, counts, _draws(items))
    low, high = _interval(ratios)
    apart = DETECTABLE * 2**0.5 * float(ratios.std())
    return Estimate(float(sums.sum() / counts.sum()), low, high, apart, items)


def compare(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> Comparison:
    """Compare two systems, each given as sums and counts of the same items in order.

    Both are [I] or [M, I]. With as many models each, models of the same row are drawn together.

    Raises:
        ValueError: If the numbers of items differ, or counts are all zero.
    """
    (sums_a, counts_a), (sums_b, counts_b) = first, second
    items = sums_a.shape[-1]
    if items != sums_b.shape[-1]:
        raise ValueError(f"{items} and {sums_b.shape[-1]} items: give the same items of both")
    if not (counts_a.sum() > 0 and counts_b.sum() > 0):
        raise ValueError("there is nothing to compare: a figure has no denominator")
    draws = _draws(items)
    apart = _resampled(sums_b, counts_b, draws) - _resampled(sums_a, counts_a, draws)
    low, high = _interval(apart)
    return Comparison(
        difference=float(sums_b.sum() / counts_b.sum() - sums_a.sum() / counts_a.sum()),
        low=low,
        high=high,
        probability_lower=float(np.mean(apart < 0) + np.mean(apart == 0) / 2),
        smallest_difference=DETECTABLE * float(apart.std()),
        items=items,
    )


def _draws(count: int, seed: int = 0) -> np.ndarray:
    """[R, count] how often each of `count` things is drawn; the same for the same arguments."""
    generator = np.random.default_rng(seed)
    drawn: np.ndarray = generator.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return drawn


def _resampled(sums: np.ndarray, counts: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """[R] the figure of each resample; one without a denominator has that of the whole.

    Args:
        sums: [I] or [M, I].
        counts: Of the same shape.
        draws: [R, I] how often each item is drawn.
    """
    sums, counts = (np.atleast_2d(each).astype(float) for each in (sums, counts))
    models = _draws(len(sums), seed=len(sums))
    below, above = ((models @ each * draws).sum(-1) for each in (counts, sums))
    whole = sums.sum() / counts.sum()
    ratios: np.ndarray = np.where(below > 0, above / np.where(below > 0, below, 1), whole)
    return ratios


def _interval(values: np.ndarray) -> tuple[float, float]:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
