"""Zeros in large pages are zeros."""

import pytest
import torch

from sled.files.large_pages import LARGE, zeros


@pytest.mark.parametrize("count", [0, 3, LARGE, LARGE + 5])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32])
def test_they_are_writable_zeros_of_the_shape(count, dtype):
    made = zeros((count, 1), dtype, torch.device("cpu"))
    assert made.shape == (count, 1) and made.dtype == dtype
    assert not made.any()
    made[-1:] = 1
    assert made.sum() == min(count, 1)
