"""A paged cache of keys and values. Each row has as many pages as its positions need.

Rows of concurrent sessions differ in length. With pages, a row takes only the memory of its own
length and never moves when it grows. The memory keeps its address, so a step can be captured once
and replayed.

Shapes: N pages, G positions per page, T pages that a row may have, R rows held, S rows of a call,
Q new positions per row, K positions attended, A heads, d head width, L layers.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sled.model.backbone import rotary_tables
from sled.model.cache import CachedRow
from sled.model.config import Architecture

PAGE = 64  # positions
# The scratch page belongs to no row. Padding rows of a step write to it.
SCRATCH = 0
# Rows of full length that the initial memory can hold.
INITIAL_ROWS = 2


class PagedCache:
    """A `sled.model.cache.RowCache`, and the attention context of the backbone in decoding.

    Args:
        architecture: Sizes of the model.
        device: Device of keys and values.
        dtype: Type of keys and values.

    Attributes:
        lengths: int64 [R] number of positions that each row holds.
        tables: int32 [R, T] the pages of each row, then `SCRATCH`.
        pages: L tensors [2, N, A_kv, G, d], keys and values. They are replaced when the cache
            grows or shrinks.
        captured: Steps captured on these pages; cleared when the pages are replaced.
        cos: Cosines of the positions of a call, [S, Q, 1, d].
        sin: Sines of the positions of a call, [S, Q, 1, d].
        rotary: [2, T * G, d] cosines and sines of all positions.
    """

    cos: Tensor
    sin: Tensor
    pages: list[Tensor]

    def __init__(
        self, architecture: Architecture, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._device, self._dtype, self._num_layers = device, dtype, architecture.num_hidden_layers
        self._page_shape = (architecture.num_key_value_heads, PAGE, architecture.head_dim)
        width = -(-architecture.max_position_embeddings // PAGE)
        self._initial_pages = 1 + INITIAL_ROWS * width
        self.lengths = np.zeros(0, dtype=np.int64)
        self.tables = np.zeros((0, width), dtype=np.int32)
        self.captured: dict[Hashable, Any] = {}
        self._start_over()
        tables = rotary_tables(
            width * PAGE, architecture.head_dim, architecture.rope_theta, device, dtype
        )
        self.rotary = torch.stack(tables)

    @property
    def num_pages(self) -> int:
        """Number of pages allocated, N."""
        return self.pages[0].shape[1]

    @property
    def page_bytes(self) -> int:
        """Memory of a page in all layers, in bytes."""
        return sum(one[:, SCRATCH].numel() * one.element_size() for one in self.pages)

    @property
    def num_bytes(self) -> int:
        """Memory of keys and values in bytes, used or not."""
        return self.num_pages * self.page_bytes

    # Rows are added and dropped.

    def add_rows(self, count: int) -> None:
        """See `RowCache.add_rows`. New rows take no memory."""
        self.lengths = np.pad(self.lengths, (0, count))
        self.tables = np.pad(self.tables, ((0, count), (0, 0)), constant_values=SCRATCH)

    def move_row(self, source: int, target: int) -> None:
        """See `RowCache.move_row`."""
        self._free_pages(target)
        self.tables[target], self.lengths[target] = self.tables[source], self.lengths[source]
        self.tables[source], self.lengths[source] = SCRATCH, 0

    def drop_rows(self, count: int) -> None:
        """See `RowCache.drop_rows`."""
        left = len(self.lengths) - count
        for row in range(left, len(self.lengths)):
            self._free_pages(row)
        self.lengths, self.tables = self.lengths[:left], self.tables[:left]
        if not left and self.num_pages > self._initial_pages:
            self._start_over()

    def shorten_row(self, row: int, count: int) -> None:
        """See `RowCache.shorten_row`. The row keeps its pages."""
        self.lengths[row] -= count

    def read_row(self, row: int) -> CachedRow:
        """See `RowCache.read_row`."""
        held = int(self.lengths[row])
        table = self._to_device(self.tables[row, : -(-held // PAGE)])
        gathered = torch.stack([one[:, table] for one in self.pages])  # [L, 2, n, A_kv, G, d]
        keys, values = gathered.transpose(2, 3).flatten(3, 4)[..., :held, :].unbind(1)
        return CachedRow(keys.contiguous(), values.contiguous())

    def write_row(self, row: int, cached: CachedRow) -> None:
        """See `RowCache.write_row`."""
        held = cached.keys.shape[2]
        self.reserve(np.array([row]), np.array([held]))
        count = -(-held // PAGE)
        table = self._to_device(self.tables[row, :count])
        both = F.pad(torch.stack(cached), (0, 0, 0, count * PAGE - held))  # [2, L, A_kv, n G, d]
        paged = torch.unflatten(both, 3, (count, PAGE)).transpose(2, 3)  # [2, L, n, A_kv, G, d]
        for number, pages in enumerate(self.pages):
            pages[:, table] = paged[:, number].to(self._device, self._dtype)
        self.lengths[row] = held

    # Memory.

    def reserve(self, rows: np.ndarray, positions: np.ndarray) -> None:
        """Allocate pages to rows [S], enough for these numbers of positions [S]."""
        assert positions.max(initial=0) <= self.tables.shape[1] * PAGE, (
            "more positions than the model has"
        )
        needed = -(-positions // PAGE)
        lacking = (needed > 0) & (self.tables[rows, needed - 1] == SCRATCH)
        for index in np.nonzero(lacking)[0].tolist():
            table = self.tables[rows[index], : needed[index]]
            for number in np.nonzero(table == SCRATCH)[0].tolist():
                if not self._free:
                    self._grow()
                table[number] = self._free.pop()

    def _free_pages(self, row: int) -> None:
        table = self.tables[row]
        self._free += table[table != SCRATCH].tolist()
        self.tables[row], self.lengths[row] = SCRATCH, 0

    def _new_pages(self, count: int) -> Tensor:
        heads, page, width = self._page_shape
        shape = (2, count, heads, page, width)
        # Attention to the scratch page must give finite numbers.
        pages = torch.empty(shape, device=self._device, dtype=self._dtype)
        pages[:, SCRATCH] = 0
        return pages

    def _start_over(self) -> None:
        self.pages = [self._new_pages(self._initial_pages) for _ in range(self._num_layers)]
        self._free = list(range(self._initial_pages - 1, SCRATCH, -1))
        self.captured.clear()

    def _grow(self) -> None:
        """Add half as many pages, layer by layer: only one layer at a time is in memory twice."""
        old, new = self.num_pages, self.num_pages + self.num_pages // 2
        self.captured.clear()  # first: captured steps hold the addresses of pages that are freed
        try:
            for number, pages in enumerate(self.pages):
                self.pages[number] = self._new_pages(new)
                self.pages[number][:, :old] = pages
        except BaseException:  # without memory, all layers have as many pages as before
            self.pages = [pages[:, :old] for pages in self.pages]
            raise
        self._free += range(new - 1, old - 1, -1)

    def _to_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    # A call with several new positions per row.

    def extend(self, rows: list[int], counts: list[int]) -> None:
        """Begin a call: append `counts[s]` positions to each row, right-padded to the largest."""
        indices, added = np.array(rows), np.array(counts)
        start = self.lengths[indices]
        total = start + added
        self.reserve(indices, total)
        self.lengths[indices] = total
        offsets = np.arange(added.max())
        positions = start[:, None] + offsets  # [S, Q]
        row, offset = np.nonzero(offsets < added[:, None])
        real = positions[row, offset]
        # Padding positions are not written. Indices of the others in [S, Q] and in the pages:
        self._real = (self._to_device(row), self._to_device(offset))
        page = self.tables[indices[row], real // PAGE]
        self._written = (self._to_device(page.astype(np.int64)), self._to_device(real % PAGE))
        self._table = self._to_device(self.tables[indices, : -(-total.max() // PAGE)])
        key = np.arange(self._table.shape[1] * PAGE)
        self._unused = self._to_device(key >= total[:, None])[:, None, :, None]  # [S, 1, K, 1]
        hidden = self._to_device(key > positions[:, :, None])[:, None]  # [S, 1, Q, K]
        mask = torch.zeros(hidden.shape, device=self._device, dtype=self._dtype)
        self._mask = mask.masked_fill_(hidden, -torch.inf)
        index = self._to_device(np.minimum(positions, self.rotary.shape[1] - 1))
        self.cos, self.sin = self.rotary[:, index].unsqueeze(3)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, dropout: float
    ) -> Tensor:
        """Attend from the new positions of a call [S, Q, A, d] to all positions of their rows."""
        pages, (page, offset) = self.pages[layer], self._written
        pages[0, page, :, offset] = key[self._real]
        pages[1, page, :, offset] = value[self._real]
        keys, values = gather_pages(pages, self._table).masked_fill_(self._unused, 0)
        attended = F.scaled_dot_product_attention(
            query.transpose(1, 2),
            keys,
            values,
            attn_mask=self._mask,
            dropout_p=dropout,
            enable_gqa=key.shape[2] < query.shape[2],
        )
        return attended.transpose(1, 2)


def gather_pages(pages: Tensor, tables: Tensor) -> Tensor:
    """Gather keys and values [2, S, A_kv, n G, d] of rows with pages [S, n]."""
    return pages[:, tables].transpose(2, 3).flatten(3, 4)
