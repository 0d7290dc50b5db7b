"""Keys and values for the compiled kernels. Each row has memory of its own.

A row that joins, grows or leaves moves no other row. In one tensor of all rows, the whole past of
all utterances would be copied whenever there is one more of them, while their listeners wait.

Shapes: A heads, C positions for which a row has memory, d head width.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from sled.fast.native.library import CachedRow as Place
from sled.files.large_pages import zeros
from sled.model.cache import INITIAL_CAPACITY, CachedRow, RowCache
from sled.model.config import Architecture

LARGEST = 127  # of a signed byte


@dataclass(frozen=True, eq=False)
class _Memory:
    """The memory of a row.

    Attributes:
        numbers: [2, layers, A, C, d] keys and values.
        scales: [2, layers, A, C, 1] what those in bytes are multiplied by. None: there are none.
    """

    numbers: Tensor
    scales: Tensor | None

    @property
    def capacity(self) -> int:
        """Positions that fit."""
        return self.numbers.shape[3]

    @property
    def num_bytes(self) -> int:
        """Its size in bytes."""
        parts = (self.numbers,) if self.scales is None else (self.numbers, self.scales)
        return sum(part.numel() * part.element_size() for part in parts)

    def place(self) -> Place:
        """Where it is, for the kernels."""
        keys, values = self.numbers
        scales = (None, None) if self.scales is None else [one.data_ptr() for one in self.scales]
        layer_stride, head_stride, _, _ = keys.stride()
        return Place(keys.data_ptr(), values.data_ptr(), *scales, layer_stride, head_stride)

    def copy_from(self, other: _Memory, count: int) -> None:
        """Take over the first `count` positions of another memory."""
        self.numbers[:, :, :, :count] = other.numbers[:, :, :, :count]
        if self.scales is not None and other.scales is not None:
            self.scales[:, :, :, :count] = other.scales[:, :, :, :count]


class NativeCache(RowCache):
    """The cache of a `NativeModel`.

    Rows are read and written in float32, or in float16 if that is the type. What was read from
    one is the same after it is written.

    Memory of rows that have left is used again by others: fresh memory takes longer.

    Args:
        architecture: Sizes of the model.
        dtype: Type of keys and values: float32, float16, or int8, with a scale for each position
            and head.

    Attributes:
        lengths: Positions held by each row.
    """

    def __init__(self, architecture: Architecture, dtype: torch.dtype) -> None:
        self._layers, self._heads = architecture.num_hidden_layers, architecture.num_key_value_heads
        self._head_dim, self._dtype = architecture.head_dim, dtype
        self._usual_capacity = architecture.max_position_embeddings
        self.lengths: list[int] = []
        self._memory: list[_Memory | None] = []  # by row; None: nothing has been written
        self._spare: list[_Memory] = []
        self._places = (Place * 0)()  # of the rows, and room for more

    @property
    def num_bytes(self) -> int:
        """Memory of keys and values in bytes."""
        held = [one for one in self._memory if one is not None]
        return sum(one.num_bytes for one in (*held, *self._spare))

    @property
    def address(self) -> int:
        """Where the kernels find the rows; valid until rows are added, moved or reserved."""
        return ctypes.addressof(self._places)

    @override
    def add_rows(self, count: int) -> None:
        rows = len(self.lengths) + count
        if rows > len(self._places):
            more = (Place * (2 * rows))()
            ctypes.memmove(more, self._places, ctypes.sizeof(self._places))
            self._places = more
        self.lengths += [0] * count
        self._memory += [None] * count

    @override
    def move_row(self, source: int, target: int) -> None:
        self._give_back(target)
        self._memory[target], self._memory[source] = self._memory[source], None
        self._places[target] = self._places[source]
        self.lengths[target], self.lengths[source] = self.lengths[source], 0

    @override
    def drop_rows(self, count: int) -> None:
        left = len(self.lengths) - count
        for row in range(left, len(self.lengths)):
            self._give_back(row)
        del self.lengths[left:], self._memory[left:]
        # At most as much is kept for others as is used.
        del self._spare[: max(0, len(self._spare) - left)]

    @override
    def shorten_row(self, row: int, count: int) -> None:
        self.lengths[row] -= count

    @override
    def read_row(self, row: int) -> CachedRow:
        memory, held = self._memory[row], self.lengths[row]
        if memory is None:
            empty = torch.empty(self._layers, self._heads, 0, self._head_dim)
            return CachedRow(empty, empty)
        numbers = memory.numbers[:, :, :, :held]
        if memory.scales is None:
            keys, values = numbers.clone()
        else:
            keys, values = numbers * memory.scales[:, :, :, :held]
        return CachedRow(keys, values)

    @override
    def write_row(self, row: int, cached: CachedRow) -> None:
        held = cached.keys.shape[2]
        memory = self._reserve(row, held)
        for part, written in enumerate(cached):
            if memory.scales is None:
                memory.numbers[part, :, :, :held] = written
            else:
                codes, scales = _round(written)
                memory.numbers[part, :, :, :held] = codes
                memory.scales[part, :, :, :held] = scales
        self.lengths[row] = held

    def reserve(self, row: int, positions: int) -> None:
        """Have memory for at least this many positions of a row."""
        memory = self._memory[row]
        if memory is None or memory.capacity < positions:
            self._reserve(row, positions)

    def _reserve(self, row: int, positions: int) -> _Memory:
        old = self._memory[row]
        if old is not None and old.capacity >= positions:
            return old
        capacity = INITIAL_CAPACITY
        while capacity < positions:
            capacity *= 2
        if positions <= self._usual_capacity:
            capacity = min(capacity, self._usual_capacity)
        new = self._allocate(capacity)
        if old is not None:
            new.copy_from(old, self.lengths[row])
            self._give_back(row)
        self._memory[row], self._places[row] = new, new.place()
        return new

    def _allocate(self, capacity: int) -> _Memory:
        for number, spare in enumerate(self._spare):
            if spare.capacity == capacity:
                return self._spare.pop(number)
        shape, cpu = (2, self._layers, self._heads, capacity), torch.device("cpu")
        scales = None
        if self._dtype == torch.int8:
            scales = zeros((*shape, 1), torch.float32, cpu)
        return _Memory(zeros((*shape, self._head_dim), self._dtype, cpu), scales)

    def _give_back(self, row: int) -> None:
        memory, self._memory[row] = self._memory[row], None
        if memory is not None:
            self._spare.append(memory)


def _round(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Round [..., d] to signed bytes; return them and their scales [..., 1]."""
    scales = numbers.float().abs().amax(-1, keepdim=True) / LARGEST
    codes = (numbers / scales.where(scales > 0, 1)).round_()
    return codes.to(torch.int8), scales
