"""Batches of similar length have hardly any padding, on real and on large corpora."""

import numpy as np
import pytest

from sled.benchmarks.corpus import draw_durations, make_cuts
from sled.benchmarks.padding import batching_policies, padding_share, padding_shares

FRAME_RATE = 75
# Every twentieth part of the 1,500 clips of the Kathleen corpus is up to so many seconds long: one
# reader, prompts of one sentence each.
KATHLEEN_QUANTILES_S = (
    [0.758, 1.695, 1.927, 2.128, 2.277, 2.401, 2.556, 2.683, 2.785, 2.881, 2.992]
    + [3.086, 3.221, 3.347, 3.474, 3.601, 3.742, 3.919, 4.151, 4.418, 6.475]
)  # fmt: skip
KATHLEEN_S = np.interp(
    np.linspace(0, 1, 1500), np.linspace(0, 1, len(KATHLEEN_QUANTILES_S)), KATHLEEN_QUANTILES_S
)
CORPORA = {"kathleen": KATHLEEN_S.tolist(), "libriheavy": draw_durations(2000)}


def positions_of(durations_s: list[float]) -> list[int]:
    """Frames, and three to five text tokens a second."""
    rng = np.random.default_rng(0)
    return [round(s * (FRAME_RATE + rng.uniform(3, 5))) for s in durations_s]


@pytest.mark.parametrize("corpus", CORPORA)
def test_at_most_a_twentieth_of_the_positions_is_padding(corpus):
    durations = CORPORA[corpus]
    # Eight clips of medium length, by count or by frames.
    policies = batching_policies(8, 8 * float(np.median(durations)), quadratic_duration_s=15)
    shares = padding_shares(list(make_cuts(durations)), positions_of(durations), policies)
    baseline, *grouped = shares.values()
    assert baseline > 0.2
    assert max(grouped) <= 0.05, shares


def test_the_share_is_that_of_the_slots_left_empty():
    """Four samples of 14 positions in all, in one batch of 4 x 5, or in two, of 2 x 5 and 2 x 3."""
    cuts, positions = list(make_cuts([1.0] * 4)), [3, 3, 3, 5]
    assert padding_share(cuts, positions, {"max_cuts": 4}) == pytest.approx(1 - 14 / 20)
    assert padding_share(cuts, positions, {"max_cuts": 2}) == pytest.approx(1 - 14 / 16)
    assert padding_share(cuts, [3, 3, 3, 3], {"max_cuts": 4}) == 0


def test_made_up_durations_are_those_of_libriheavy():
    durations = np.array(CORPORA["libriheavy"])
    assert durations.min() >= 2
    assert durations.max() <= 30
    assert ((durations > 8) & (durations < 20)).mean() > 0.6
    assert np.array(draw_durations(2000, longest_s=3.0)) == pytest.approx(durations / 10, abs=0.01)
