"""Caches of all forms of the model, for what they have in common."""

import pytest
import torch

from tests.debug import randn
from tests.fast.forms import EXACT, fast_model


@pytest.mark.parametrize("form", EXACT)
@torch.inference_mode()
def test_what_a_row_forgets_can_be_read_again(form):
    model = fast_model(form)
    inputs, cache = randn(2, 9, model.config.architecture.hidden_size), model.new_cache()
    cache.add_rows(2)
    once = model.advance(inputs, [0, 1], [9, 9], cache)
    cache.shorten_row(1, 4)
    assert [cache.read_row(row).keys.shape[2] for row in range(2)] == [9, 5]
    again = model.advance(inputs[1:, 5:], [1], [4], cache)
    torch.testing.assert_close(again, once[1:], rtol=1e-5, atol=1e-5)
