"""Keys and values in bytes, for the compiled kernels.

Shapes as in `sled.model.cache`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from sled.model.cache import CachedRow, KVCache
from sled.model.config import Architecture

LARGEST = 127


class RoundedCache(KVCache):
    """A `KVCache` of signed bytes, with a scale for each position and head.

    Rows are read and written in float32. What was read from one is the same after it is written.

    Args:
        architecture: Sizes of the model, which is on the CPU.

    Attributes:
        scales: The scales, as a cache of the same rows.
    """

    def __init__(self, architecture: Architecture) -> None:
        cpu = torch.device("cpu")
        self.scales = KVCache(architecture, cpu, torch.float32, width=1)
        super().__init__(architecture, cpu, torch.int8)

    @property
    @override
    def num_bytes(self) -> int:
        return super().num_bytes + self.scales.num_bytes

    @override
    def add_rows(self, count: int) -> None:
        super().add_rows(count)
        self.scales.add_rows(count)

    @override
    def move_row(self, source: int, target: int) -> None:
        self.scales.lengths[source] = self.lengths[source]
        super().move_row(source, target)
        self.scales.move_row(source, target)

    @override
    def drop_rows(self, count: int) -> None:
        super().drop_rows(count)
        self.scales.drop_rows(count)

    @override
    def read_row(self, row: int) -> CachedRow:
        self.scales.lengths[row] = self.lengths[row]
        codes, scales = super().read_row(row), self.scales.read_row(row)
        return CachedRow(codes.keys * scales.keys, codes.values * scales.values)

    @override
    def write_row(self, row: int, cached: CachedRow) -> None:
        (keys, key_scales), (values, value_scales) = _round(cached.keys), _round(cached.values)
        super().write_row(row, CachedRow(keys, values))
        self.scales.write_row(row, CachedRow(key_scales, value_scales))

    @override
    def reserve(self, positions: int) -> None:
        super().reserve(positions)
        self.scales.reserve(positions)


def _round(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Round [..., d] to signed bytes; return them and their scales [..., 1]."""
    scales = numbers.float().abs().amax(-1, keepdim=True) / LARGEST
    codes = (numbers / scales.where(scales > 0, 1)).round_()
    return codes.to(torch.int8), scales
