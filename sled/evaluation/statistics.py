"""How certain a figure is, and whether one system is better than another.

A figure is a ratio of sums over items: errors over words, or a sum of scores over their number. The
items are drawn again and again with replacement (bootstrap, Efron 1979), all seeds of an item
together, since they are not independent of each other.

Shapes: I items, R resamples.
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
        sums: [I] for example the errors of each item, over all seeds.
        counts: [I] for example its words.

    Raises:
        ValueError: If the counts are all zero.
    """
    if not counts.sum() > 0:
        raise ValueError("there is nothing to count: the figure has no denominator")
    ratios = _resampled(sums, counts, _draws(len(sums)))
    low, high = _interval(ratios)
    apart = DETECTABLE * 2**0.5 * float(ratios.std())
    return Estimate(float(sums.sum() / counts.sum()), low, high, apart, len(sums))


def compare(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> Comparison:
    """Compare two systems, each given as sums [I] and counts [I] of the same items in order.

    Raises:
        ValueError: If the numbers of items differ, or counts are all zero.
    """
    (sums_a, counts_a), (sums_b, counts_b) = first, second
    if len(sums_a) != len(sums_b):
        raise ValueError(f"{len(sums_a)} and {len(sums_b)} items: give the same items of both")
    if not (counts_a.sum() > 0 and counts_b.sum() > 0):
        raise ValueError("there is nothing to compare: a figure has no denominator")
    draws = _draws(len(sums_a))
    apart = _resampled(sums_b, counts_b, draws) - _resampled(sums_a, counts_a, draws)
    low, high = _interval(apart)
    return Comparison(
        difference=float(sums_b.sum() / counts_b.sum() - sums_a.sum() / counts_a.sum()),
        low=low,
        high=high,
        probability_lower=float(np.mean(apart < 0) + np.mean(apart == 0) / 2),
        smallest_difference=DETECTABLE * float(apart.std()),
        items=len(sums_a),
    )


def _draws(count: int) -> np.ndarray:
    """[R, I] how often each item is drawn; the same for the same number of items."""
    generator = np.random.default_rng(0)
    drawn: np.ndarray = generator.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return drawn


def _resampled(sums: np.ndarray, counts: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """[R] the figure of each resample; those without a denominator are left out of it."""
    below = draws @ counts.astype(float)
    above = draws @ sums.astype(float)
    whole = sums.sum() / counts.sum()
    ratios: np.ndarray = np.where(below > 0, above / np.where(below > 0, below, 1), whole)
    return ratios


def _interval(values: np.ndarray) -> tuple[float, float]:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
