"""Grouping: several frames of a codec become one, so that a model needs fewer steps.

A frame of k times the width replaces k frames, and the model draws all of them in one step; nothing
else has to know. The cost: the model draws the frames of a group at once, none of them given the
one before.

Shapes: T groups, K codebooks and D latent width of the codec whose frames are grouped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import Self, override

from sled.codec.transforms.base import FitData, Transform


@dataclass(frozen=True, eq=False)
class Group(Transform):
    """k consecutive vectors become one, side by side.

    Attributes:
        frames: How many become one, k.
    """

    kind: ClassVar[str] = "group"

    frames: int = 2

    def __post_init__(self) -> None:
        if self.frames < 2:
            raise ValueError(f"group of {self.frames} frames: group at least 2 frames")

    @classmethod
    @override
    def fit(cls, data: FitData, *, frames: int = 2) -> tuple[Self, str]:
        return cls(frames), f"{frames} frames become one"

    @override
    def width(self, below: int) -> int:
        return self.frames * below

    @override
    def forward(self, units: Tensor) -> Tensor:
        *batch, frames, width = units.shape
        return units.reshape(*batch, frames // self.frames, self.frames * width)

    @override
    def inverse(self, units: Tensor) -> Tensor:
        *batch, groups, width = units.shape
        return units.reshape(*batch, groups * self.frames, width // self.frames)


def group_codes(codes: Tensor, frames: int) -> Tensor:
    """Codes [..., K, T] as those of groups of k frames, [..., k K, T / k rounded up].

    The codes of a group are those of its first frame, then of its second, and so on. The last
    frame is repeated to fill the last group.
    """
    missing = -codes.shape[-1] % frames
    whole = torch.cat((codes, codes[..., -1:].expand(*codes.shape[:-1], missing)), dim=-1)
    groups = whole.reshape(*codes.shape[:-1], whole.shape[-1] // frames, frames)
    return groups.movedim(-1, -3).flatten(-3, -2)


def split_codes(codes: Tensor, frames: int) -> Tensor:
    """Undo `group_codes`, up to the frames that fill the last group: -> [..., K, k T]."""
    *batch, codebooks, groups = codes.shape
    each = codes.reshape(*batch, frames, codebooks // frames, groups)
    return each.movedim(-3, -1).flatten(-2)
