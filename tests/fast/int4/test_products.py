"""Products of codes in the kernels are those of whole numbers, at all sizes."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sled.fast.int4.rounding import round_matrix
from sled.fast.native import kernel_level
from sled.fast.native.library import LEVELS, Kernels, Model, open_library
from sled.fast.native.weights import Packer
from sled.fast.quantize import quantize_blocks
from tests.debug import randn
from tests.fast.forms import NEEDS_KERNELS

pytestmark = NEEDS_KERNELS
LEVEL_NUMBER = next((number for number, one in LEVELS.items() if one == kernel_level()), 0)
EPSILON = 1e-6


def embed(level: str, packer: Packer, matrix: object, outputs: int, inputs: Tensor) -> Tensor:
    """Layer norms of the products of inputs [P, K] with a matrix; the kernels have no other sum."""
    ones, zeros = packer.numbers(torch.ones(outputs)), packer.numbers(torch.zeros(outputs))
    model = Model(hidden=outputs, latent=inputs.shape[1], unit=matrix, head_epsilon=EPSILON)
    model.unit_gain, model.unit_shift = ones, zeros
    library = open_library(level)
    assert library is not None
    result = torch.full((len(inputs) + 1, outputs), 7.0)
    Kernels(library, model, 1).call("embed", inputs.data_ptr(), len(inputs), result.data_ptr())
    assert bool((result[-1] == 7).all())  # nothing is written behind the end
    return result[:-1]


def whole_number_products(codes: Tensor, scales: Tensor, group: int, inputs: Tensor) -> Tensor:
    """Products [P, N] of inputs [P, K] with codes [N, K] around 0, whose groups have scales [N, G].

    Inputs of a group are rounded to whole numbers up to 127; the sums of a group are exact.
    """
    total = torch.zeros(len(inputs), len(codes), dtype=torch.float64)
    for number, begin in enumerate(range(0, codes.shape[1], group)):
        part = inputs[:, begin : begin + group]
        largest = part.abs().amax(1, keepdim=True)
        factor = torch.where(largest > 0, 127 / largest, 0)
        rounded = (part * factor).round().long()
        sums = rounded @ codes[:, begin : begin + group].long().T
        total += sums.double() * scales[:, number] * (largest.double() / 127)
    return total


@pytest.mark.parametrize("level", [one for number, one in LEVELS.items() if number <= LEVEL_NUMBER])
@settings(max_examples=25)
@given(
    rows=st.sampled_from([1, 2, 3, 5, 6, 7, 8, 13, 33]),
    blocks=st.integers(1, 5),
    width=st.sampled_from([1, 7, 8, 40, 64, 127, 128, 129, 300]),
    group=st.sampled_from([8, 64, 128]),
    nibbles=st.booleans(),
    seed=st.integers(0, 99),
)
def test_products_are_those_of_whole_numbers(level, rows, blocks, width, group, nibbles, seed):
    outputs, packer = 48 * blocks, Packer()
    weight, inputs = randn(outputs, width, seed=seed), randn(rows, width, seed=seed + 1)
    if nibbles:
        one = round_matrix(weight, group=group)
        matrix, codes, scales = packer.int4(one), one.codes.int() - 8, one.scales
    else:
        group = 128
        parts, scales = quantize_blocks(weight, group)
        matrix, codes = packer.matrix(weight, bits=8), parts.flatten(1)[:, :width].int() - 128
    exact = whole_number_products(codes, scales, group, inputs)
    wanted = F.layer_norm(exact, (outputs,), eps=EPSILON)
    got = embed(level, packer, matrix, outputs, inputs)
    torch.testing.assert_close(got.double(), wanted, atol=2e-5, rtol=2e-5)
