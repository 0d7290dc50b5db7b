"""A matrix in four bits.

Shapes: N outputs, K inputs, G groups of inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ZERO = 8  # the code of 0; codes are from 0 to 15


@dataclass(frozen=True, eq=False)
class Int4Matrix:
    """A rounded matrix: the weight of an input is (code - 8) times the scale of its group.

    Attributes:
        codes: [N, K] uint8, less than 16.
        scales: [N, G] float32, of either sign.
        group: Number of consecutive inputs that share a scale, a multiple of 8.
    """

    codes: Tensor
    scales: Tensor
    group: int

    def weights(self) -> Tensor:
        """The rounded weights [N, K] in float32."""
        scales = self.scales.repeat_interleave(self.group, 1)[:, : self.codes.shape[1]]
        return (self.codes.float() - ZERO) * scales

    @staticmethod
    def stack(matrices: list[Int4Matrix]) -> Int4Matrix:
        """One matrix with the outputs of several, which have the same inputs."""
        (group,) = {one.group for one in matrices}
        codes, scales = ([getattr(one, name) for one in matrices] for name in ("codes", "scales"))
        return Int4Matrix(torch.cat(codes), torch.cat(scales), group)
