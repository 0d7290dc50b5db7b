"""Modules that are built without weights."""

import torch
from torch import nn

from sled.files.without_weights import without_weights


def build() -> nn.Module:
    layers = [
        nn.Embedding(5, 4),
        nn.Linear(4, 4),
        nn.LayerNorm(4),
        nn.LSTM(4, 4),
        nn.Conv1d(4, 4, 1),
    ]
    return nn.Sequential(*layers)


def test_they_are_those_that_are_built_with_weights() -> None:
    with without_weights():
        empty = build()
    full = build()
    shapes = {name: tensor.shape for name, tensor in full.state_dict().items()}
    assert {name: tensor.shape for name, tensor in empty.state_dict().items()} == shapes
    assert all(tensor.is_meta for tensor in empty.state_dict().values())
    empty.load_state_dict(full.state_dict(), assign=True)
    tokens = torch.tensor([[1, 2]])
    assert torch.equal(empty[:3](tokens), full[:3](tokens))


def test_no_random_numbers_are_drawn_and_afterwards_all_is_as_before() -> None:
    state = torch.get_rng_state()
    with without_weights():
        build()
    assert torch.equal(torch.get_rng_state(), state)
    layer = nn.Linear(4, 4)
    assert not layer.weight.is_meta
    assert layer.weight.std() > 0
