"""Heads, which draw the unit of the next frame from a hidden state, and their training scores."""

from sled.model.config import Architecture
from sled.model.heads.base import Head
from sled.model.heads.energy import EnergyHead
from sled.model.heads.flow import FlowHead
from sled.model.heads.flow_map import FlowMapHead
from sled.model.heads.gaussian import GaussianHead
from sled.model.heads.scores import Score
from sled.model.heads.token import TokenHead

__all__ = [
    "HEADS",
    "EnergyHead",
    "FlowHead",
    "FlowMapHead",
    "GaussianHead",
    "Head",
    "Score",
    "TokenHead",
    "head_class",
]

HEADS: dict[str, type[Head]] = {
    "energy": EnergyHead,
    "flow": FlowHead,
    "flow_map": FlowMapHead,
    "gaussian": GaussianHead,
    "token": TokenHead,
}
"""The heads by the name that `Architecture.head` gives them."""


def head_class(architecture: Architecture) -> type[Head]:
    """Return the head that an architecture asks for.

    Raises:
        ValueError: If there is no head of that name.
    """
    if architecture.head not in HEADS:
        raise ValueError(f"head={architecture.head!r}: choose one of {', '.join(sorted(HEADS))}")
    return HEADS[architecture.head]
