"""Conditions of a model: vectors beside text and prompt, such as a speaker embedding."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def project_conditions(
    layers: nn.ModuleDict,
    conditions: Mapping[str, Tensor],
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor | None:
    """Project conditions to the width of the model.

    Args:
        layers: C projections by name.
        conditions: C vectors [..., width] by name.
        device: Where to compute.
        dtype: The type of the result.

    Returns:
        [..., C, H] in the order of the layers; None without conditions.

    Raises:
        ValueError: If these are not the conditions that the model takes.
    """
    if conditions.keys() != layers.keys():
        taken, given = (", ".join(names) or "none" for names in (layers, conditions))
        raise ValueError(f"the model takes the conditions {taken}; {given} was given")
    if not conditions:
        return None
    vectors = [layer(conditions[name].to(device, dtype)) for name, layer in layers.items()]
    return torch.stack(vectors, -2)
