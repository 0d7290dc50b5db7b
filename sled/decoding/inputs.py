"""Input embeddings of several rows with inputs of all kinds.

Shapes: R rows, Q inputs of the longest row, H hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sled.decoding.row import Condition, Input
from sled.model.interface import FrameModel


def embed_inputs(model: FrameModel, inputs: Sequence[Sequence[Input]]) -> Tensor:
    """Input embeddings [R, Q, H] of R sequences of inputs, right-padded with zeros."""
    longest = max(map(len, inputs))
    tokens: dict[int, int] = {}
    units: dict[int, Tensor] = {}
    conditions: dict[int, Tensor] = {}
    for row, sequence in enumerate(inputs):
        for index, item in enumerate(sequence, row * longest):
            if isinstance(item, int):
                tokens[index] = item
            elif isinstance(item, Condition):
                conditions[index] = item.embedding
            else:
                units[index] = item
    width = model.config.architecture.hidden_size
    embeddings = torch.zeros(len(inputs) * longest, width, device=model.device, dtype=model.dtype)
    if tokens:
        ids = torch.tensor(list(tokens.values()), device=model.device)
        embeddings[list(tokens)] = model.embed_text(ids)
    if units:
        embeddings[list(units)] = model.embed_units(torch.stack(list(units.values())))
    if conditions:
        embeddings[list(conditions)] = torch.stack(list(conditions.values()))
    return torch.unflatten(embeddings, 0, (len(inputs), longest))
