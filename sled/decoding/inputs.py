"""Input embeddings of several rows with inputs of all kinds.

Shapes: R rows, Q inputs of the longest row, H hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sled.decoding.row import Condition, Input
from sled.model.interface import FrameModel


def embed_inputs(
    model: FrameModel, inputs: Sequence[Sequence[Input]], pasts: Sequence[Sequence[int]]
) -> Tensor:
    """Embed the inputs of several rows.

    Args:
        model: The model.
        inputs: The inputs of R rows.
        pasts: The tokens that each row has read before.

    Returns:
        Input embeddings [R, Q, H], right-padded with zeros.
    """
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
    if tokens and model.encodes_text:
        for row, past in enumerate(pasts):
            own = {i: token for i, token in tokens.items() if i // longest == row}
            if own:
                ids = torch.tensor(list(own.values()), device=model.device)
                embeddings[list(own)] = model.embed_text(ids, past)
    elif tokens:
        ids = torch.tensor(list(tokens.values()), device=model.device)
        embeddings[list(tokens)] = model.embed_text(ids)
    if units:
        embeddings[list(units)] = model.embed_units(torch.stack(list(units.values())))
    if conditions:
        embeddings[list(conditions)] = torch.stack(list(conditions.values()))
    return torch.unflatten(embeddings, 0, (len(inputs), longest))
