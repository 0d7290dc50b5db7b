"""Matrices in four bits: the codes, and how errors are compensated."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sled.fast.int4 import Int4Matrix
from sled.fast.int4.rounding import SHRINKAGES, round_matrix
from tests.debug import randn


def related_inputs(count: int, width: int) -> Tensor:
    """Inputs [P, K] of which each is much like others, as those of real matrices are."""
    return randn(count, width // 4) @ randn(width // 4, width, seed=1) + 0.1 * randn(
        count, width, seed=2
    )


def output_error(matrix: Int4Matrix, weight: Tensor, inputs: Tensor) -> float:
    exact = inputs @ weight.T
    return float((inputs @ matrix.weights().T - exact).norm() / exact.norm())


@given(
    outputs=st.integers(1, 5),
    inputs=st.integers(1, 100),
    group=st.sampled_from([8, 32, 128]),
    seed=st.integers(0, 50),
    recorded=st.booleans(),
)
def test_a_weight_is_a_code_times_the_scale_of_its_group(outputs, inputs, group, seed, recorded):
    weight = randn(outputs, inputs, seed=seed)
    seen = randn(2 * inputs, inputs, seed=seed + 1)
    one = round_matrix(weight, seen.T @ seen if recorded else None, group)
    assert one.codes.shape == weight.shape
    assert one.scales.shape == (outputs, -(-inputs // group))
    assert int(one.codes.max()) < 16
    for k in range(inputs):
        wanted = (one.codes[:, k].float() - 8) * one.scales[:, k // group]
        assert one.weights()[:, k].equal(wanted)


@given(inputs=st.integers(1, 100), seed=st.integers(0, 50))
def test_without_recorded_inputs_no_weight_is_off_by_more_than_it_was_clipped(inputs, seed):
    weight = randn(3, inputs, seed=seed)
    one = round_matrix(weight, group=32)
    steps = one.scales.abs().repeat_interleave(32, 1)[:, :inputs]
    clipped = 8 * steps / SHRINKAGES[-1] - 7 * steps  # the largest, on the side with fewer codes
    assert bool(((one.weights() - weight).abs() <= clipped.maximum(steps / 2) * 1.001).all())


@pytest.mark.parametrize("recorded", [False, True])
def test_weights_that_codes_represent_are_kept(recorded):
    codes = torch.arange(-8, 8).repeat(2, 4).float()
    weight = codes * torch.tensor([[0.5], [-2.0]])
    seen = related_inputs(400, 64)
    one = round_matrix(weight, seen.T @ seen if recorded else None, 64)
    torch.testing.assert_close(one.weights(), weight)


@pytest.mark.parametrize("width", [64, 100])
@pytest.mark.parametrize("group", [32, 128])
def test_errors_are_compensated_by_what_inputs_have_in_common(width, group):
    """On inputs that were not recorded, too."""
    weight, inputs = randn(48, width, seed=5), related_inputs(1000, width)
    seen, others = inputs[:500], inputs[500:]
    nearest = output_error(round_matrix(weight, group=group), weight, others)
    compensated = output_error(round_matrix(weight, seen.T @ seen, group), weight, others)
    assert compensated < 0.6 * nearest


def test_inputs_that_are_always_zero_do_no_harm():
    weight, seen = randn(8, 64), related_inputs(300, 64)
    seen[:, ::3] = 0
    one = round_matrix(weight, seen.T @ seen, 32)
    assert one.weights().isfinite().all()
    assert output_error(one, weight, seen) < 0.1
    assert round_matrix(weight, torch.zeros(64, 64), 32).weights().isfinite().all()


def test_an_output_is_rounded_as_it_would_be_alone():
    weight, seen = randn(5, 64), related_inputs(300, 64)
    together = round_matrix(weight, seen.T @ seen, 32).weights()
    for row in range(5):
        alone = round_matrix(weight[row : row + 1], seen.T @ seen, 32).weights()
        torch.testing.assert_close(together[row : row + 1], alone)
