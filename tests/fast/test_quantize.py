"""Quantized weights are close to the originals, block by block."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sled.fast.quantize import ROWS, pack_codes, quantize_blocks
from tests.debug import randn

# Relative error of normal numbers in blocks of 32.
TYPICAL_ERROR = {4: 0.1, 8: 0.006}


def restore(codes: torch.Tensor, scales: torch.Tensor, bits: int, width: int) -> torch.Tensor:
    return ((codes.float() - 2 ** (bits - 1)) * scales[..., None]).flatten(1)[:, :width]


@pytest.mark.parametrize("bits", [4, 8])
@given(outputs=st.integers(1, 5), inputs=st.integers(1, 100), seed=st.integers(0, 50))
def test_no_weight_is_off_by_more_than_its_blocks_steps_allow(bits, outputs, inputs, seed):
    weight = randn(outputs, inputs, seed=seed)
    codes, scales = quantize_blocks(weight, bits, 32)
    assert codes.shape == (outputs, -(-inputs // 32), 32)
    assert int(codes.max()) < 2**bits
    error = (restore(codes, scales, bits, inputs) - weight).abs()
    # Half a step; more at the largest weight, which is clipped or lies beyond the last code.
    largest = weight.abs().max(dim=1, keepdim=True).values
    assert bool((error <= scales.abs().max(1, keepdim=True).values / 2 + 0.2 * largest).all())


@pytest.mark.parametrize("bits", [4, 8])
def test_the_error_is_that_of_the_number_of_bits(bits):
    weight = randn(64, 256)
    restored = restore(*quantize_blocks(weight, bits, 32), bits, 256)
    error = (restored - weight).norm() / weight.norm()
    assert TYPICAL_ERROR[bits] / 3 < error < TYPICAL_ERROR[bits]


@pytest.mark.parametrize("bits", [4, 8])
def test_values_that_a_code_represents_are_kept(bits):
    """Zeros, blocks of one sign, and the largest weight of a block."""
    half = 2 ** (bits - 1)
    for weight in (torch.zeros(2, 32), torch.arange(32.0)[None] - half, -torch.ones(1, 32)):
        codes, scales = quantize_blocks(weight.clamp(-half, half - 1), bits, 32)
        restored = restore(codes, scales, bits, 32)
        torch.testing.assert_close(restored, weight.clamp(-half, half - 1), rtol=1e-6, atol=1e-6)


def test_an_output_is_rounded_as_it_would_be_alone():
    weight = randn(ROWS + 3, 40)
    codes, scales = quantize_blocks(weight, 4, 32)
    for row in (0, ROWS - 1, ROWS, ROWS + 2):
        alone = quantize_blocks(weight[row : row + 1], 4, 32)
        assert codes[row : row + 1].equal(alone[0])
        assert scales[row : row + 1].equal(alone[1])


def test_two_codes_of_four_bits_share_a_byte():
    codes = torch.arange(16, dtype=torch.uint8).view(1, 2, 8)
    packed = pack_codes(codes, 4)
    assert packed.shape == (1, 2, 4)
    assert (packed & 15).flatten().tolist() == list(range(0, 16, 2))
    assert (packed >> 4).flatten().tolist() == list(range(1, 16, 2))
    assert pack_codes(codes, 8) is codes
