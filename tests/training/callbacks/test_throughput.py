"""Operations of a step, counted by formula and by torch."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sled.training.callbacks.throughput import training_flops
from tests.debug import debug_model, randn

TOKENS, FRAMES = 4, 12


@pytest.mark.parametrize("frozen", [False, True])
def test_operations_are_those_that_torch_counts(frozen):
    """Except for what is outside the layers, which is little in a model of this shape."""
    model = debug_model(hidden_size=256, intermediate_size=1024, num_hidden_layers=6).train()
    model.model.layers.requires_grad_(not frozen)
    batch = {
        "input_ids": torch.full((1, TOKENS), 5),
        "attention_mask": torch.ones(1, TOKENS, dtype=torch.long),
        "units": randn(1, FRAMES, 32),
        "frame_mask": torch.ones(1, FRAMES, dtype=torch.long),
    }
    with FlopCounterMode(display=False) as counter:
        model(**batch).loss.backward()
    counted = training_flops(model, [TOKENS + FRAMES], FRAMES)
    assert counted == pytest.approx(counter.get_total_flops(), rel=0.1)
