"""Quantized weights are close to the originals, block by block."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from sled.fast.quantize import ROWS, quantize_blocks
from tests.debug import randn

# Relative error of normal numbers in blocks of 32.
TYPICAL_ERROR = 0.006


def restore(codes: torch.Tensor, scales: torch.Tensor, width: int) -> torch.Tensor:
    return ((codes.float() - 128) * scales[..., None]).flatten(1)[:, :width]


@given(outputs=st.integers(1, 5), inputs=st.integers(1, 100), seed=st.integers(0, 50))
def test_no_weight_is_off_by_more_than_its_blocks_steps_allow(outputs, inputs, seed):
    weight = randn(outputs, inputs, seed=seed)
    codes, scales = quantize_blocks(weight, 32)
    assert codes.shape == (outputs, -(-inputs // 32), 32)
    error = (restore(codes, scales, inputs) - weight).abs()
    # Half a step; a whole one for a weight as large as the largest, of the other sign.
    assert bool((error <= 1.001 * scales.abs().max(1, keepdim=True).values).all())


def test_the_error_is_that_of_the_number_of_bits():
    weight = randn(64, 256)
    restored = restore(*quantize_blocks(weight, 32), 256)
    error = (restored - weight).norm() / weight.norm()
    assert TYPICAL_ERROR / 3 < error < TYPICAL_ERROR


def test_values_that_a_code_represents_are_kept():
    """Zeros, blocks of one sign, and the largest weight of a block."""
    half = 128
    for weight in (torch.zeros(2, 32), torch.arange(32.0)[None] - half, -torch.ones(1, 32)):
        codes, scales = quantize_blocks(weight.clamp(-half, half - 1), 32)
        restored = restore(codes, scales, 32)
        torch.testing.assert_close(restored, weight.clamp(-half, half - 1), rtol=1e-6, atol=1e-6)


def test_an_output_is_rounded_as_it_would_be_alone():
    weight = randn(ROWS + 3, 40)
    codes, scales = quantize_blocks(weight, 32)
    for row in (0, ROWS - 1, ROWS, ROWS + 2):
        alone = quantize_blocks(weight[row : row + 1], 32)
        assert codes[row : row + 1].equal(alone[0])
        assert scales[row : row + 1].equal(alone[1])
