"""Keys and values of the rows in decoding.

Shapes: R rows held, S rows in a step, Q new positions per row, K positions attended,
C capacity, A heads, d head width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from sled.files.large_pages import zeros
from sled.model.backbone import DistanceContext, position_vectors, rotary_tables
from sled.model.config import Architecture

INITIAL_CAPACITY = 256


class CachedRow(NamedTuple):
    """A copy of the keys and values of one row, each [layers, A_kv, positions, d]."""

    keys: Tensor
    values: Tensor


class RowCache(Protocol):
    """The interface of a cache to the decoder."""

    def add_rows(self, count: int) -> None:
        """Append empty rows. If there is not enough memory, nothing changes."""
        ...

    def move_row(self, source: int, target: int) -> None:
        """Replace row `target` by row `source`."""
        ...

    def drop_rows(self, count: int) -> None:
        """Remove the last rows."""
        ...

    def shorten_row(self, row: int, count: int) -> None:
        """Forget the newest positions of a row."""
        ...

    def read_row(self, row: int) -> CachedRow:
        """Return a copy of a row."""
        ...

    def write_row(self, row: int, cached: CachedRow) -> None:
        """Copy a cached row into an empty row."""
        ...


class KVCache(DistanceContext, RowCache):
    """Keys and values of independent rows of different lengths.

    A step names the rows that take part and how many new positions each appends (`extend`). Rows
    are independent: none attends to another or to padding. The cache is the attention context of
    the backbone in decoding. Its memory grows and shrinks with the rows.

    Args:
        architecture: Sizes of the model.
        device: Device of keys and values.
        dtype: Type of keys and values.
        rotary_dim: Width of the rotary tables. None: that of a head.
        width: Width d of keys and values. None: that of a head.

    Attributes:
        lengths: Positions held by each of the R rows.
        watch: A layer whose attention can be read with `attention`. None: none.
    """

    cos: Tensor
    sin: Tensor
    _mask: Tensor | None

    def __init__(
        self,
        architecture: Architecture,
        device: torch.device,
        dtype: torch.dtype,
        rotary_dim: int | None = None,
        width: int | None = None,
    ) -> None:
        self._head_dim, self._rope_theta = width or architecture.head_dim, architecture.rope_theta
        self._rotary_dim = rotary_dim or architecture.head_dim
        self._layers, self._heads = architecture.num_hidden_layers, architecture.num_key_value_heads
        self._usual_capacity = architecture.max_position_embeddings
        self.lengths: list[int] = []
        self.watch: int | None = None
        self._watched: tuple[list[int], Tensor] | None = None  # rows of the step, queries [S, d]
        # Positions of each row that are not zero, padding included. Masked positions have weight 0,
        # but 0 times NaN is NaN: values of a failed row must not reach the next one.
        self._used: list[int] = []
        # [layers, allocated rows, A_kv, C, d]: a row's positions are contiguous, for attention.
        self._keys = self._values = torch.zeros(0, device=device, dtype=dtype)
        self._allocate(0, 0)

    @property
    def capacity(self) -> int:
        """Positions allocated for each row."""
        return self._keys.shape[3]

    @property
    def num_bytes(self) -> int:
        """Memory of keys and values in bytes."""
        return 2 * self._keys.numel() * self._keys.element_size()

    def memory(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Return views of the keys and values of `count` rows, each [layers, count, A_kv, C, d].

        The caller updates `lengths` after writing to them. They are invalid once the cache grows.
        """
        rows = slice(first, first + count)
        return self._keys[:, rows], self._values[:, rows]

    # Rows are added and removed.

    @override
    def add_rows(self, count: int) -> None:
        allocated, rows = self._keys.shape[1], len(self.lengths) + count
        if rows > allocated:
            self._allocate(max(rows, 2 * allocated), self.capacity)
        self.lengths += [0] * count
        self._used += [0] * count

    @override
    def move_row(self, source: int, target: int) -> None:
        held = self.lengths[source]
        for tensor in (self._keys, self._values):
            tensor[:, target, :, :held] = tensor[:, source, :, :held]
            tensor[:, target, :, held : self._used[target]] = 0
        self.lengths[target] = self._used[target] = held

    @override
    def drop_rows(self, count: int) -> None:
        for row in range(len(self.lengths) - count, len(self.lengths)):
            for tensor in (self._keys, self._values):
                tensor[:, row, :, : self._used[row]] = 0
        del self.lengths[len(self.lengths) - count :], self._used[len(self._used) - count :]
        if not self.lengths:
            self._allocate(0, 0)
        elif 4 * len(self.lengths) <= self._keys.shape[1]:
            self._allocate(2 * len(self.lengths), self.capacity)

    @override
    def shorten_row(self, row: int, count: int) -> None:
        self.lengths[row] -= count

    @override
    def read_row(self, row: int) -> CachedRow:
        held = self.lengths[row]
        return CachedRow(
            self._keys[:, row, :, :held].clone(), self._values[:, row, :, :held].clone()
        )

    @override
    def write_row(self, row: int, cached: CachedRow) -> None:
        held = cached.keys.shape[2]
        self.reserve(held)
        self._keys[:, row, :, :held], self._values[:, row, :, :held] = cached
        self.lengths[row] = self._used[row] = held

    def reserve(self, positions: int) -> None:
        """Allocate at least this many positions for each row."""
        if positions > self.capacity:
            wanted = max(INITIAL_CAPACITY, min(2 * self.capacity, self._usual_capacity))
            self._allocate(self._keys.shape[1], max(positions, wanted))

    def _allocate(self, rows_allocated: int, capacity: int) -> None:
        """Move to tensors of another size."""
        old = (self._keys, self._values)
        shape = (self._layers, rows_allocated, self._heads, capacity, self._head_dim)
        new = tuple(zeros(shape, tensor.dtype, tensor.device) for tensor in old)
        if len(self.lengths):
            rows, positions = len(self.lengths), min(capacity, old[0].shape[3])
            for target, source in zip(new, old, strict=True):
                target[:, :rows, :, :positions] = source[:, :rows, :, :positions]
        tables = rotary_tables(
            capacity, self._rotary_dim, self._rope_theta, old[0].device, old[0].dtype
        )
        self._keys, self._values = new
        self._rotary = torch.stack(tables)  # [2, C, d]

    # A step.

    def extend(self, rows: list[int], counts: list[int]) -> None:
        """Begin a step: append `counts[s]` positions to each row, right-padded to the largest."""
        device = self._keys.device
        self._step_rows = rows
        longest = max(counts)
        self.reserve(max(self.lengths[row] for row in rows) + longest)
        start = torch.tensor([self.lengths[row] for row in rows], device=device)
        # Padding positions write arbitrary values, which the next real positions of the row
        # overwrite before any position attends to them.
        self._rows = torch.tensor(rows, device=device)[:, None]
        self._positions = start[:, None] + torch.arange(longest, device=device)  # [S, Q]
        for row, count in zip(rows, counts, strict=True):
            self._used[row] = max(self._used[row], self.lengths[row] + longest)
            self.lengths[row] += count
        # In the usual case, all rows from the first on, attention reads a view, not a copy.
        in_place = rows == list(range(len(rows)))
        self._attended = slice(0, len(rows)) if in_place else self._rows.squeeze(1)
        self._held = max(self.lengths[row] for row in rows)
        # No mask is needed for one new position in rows of the same length.
        self._mask = None
        if longest > 1 or len({self.lengths[row] for row in rows}) > 1:
            key_index = torch.arange(self._held, device=device)
            hidden = key_index > self._positions[:, :, None]
            # A mask to be added: attention would convert a boolean one in every layer.
            mask = torch.zeros(hidden.shape, device=device, dtype=self._keys.dtype)
            self._mask = mask.masked_fill_(hidden, -torch.inf)[:, None]  # [S, 1, Q, K]
        self.cos, self.sin = self._rotary[:, self._positions].unsqueeze(3)  # each [S, Q, 1, d]

    @override
    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, dropout: float
    ) -> Tensor:
        return self._attend(layer, query, key, value, self._mask, dropout)

    @override
    def attend_by_distance(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        by_distance: Tensor,
        dropout: float,
    ) -> Tensor:
        vectors = position_vectors(*self._rotary[:, : self._held])
        scores = by_distance.transpose(1, 2) @ vectors.T  # [S, A, Q, K]
        mask = scores if self._mask is None else scores + self._mask
        return self._attend(layer, query, key, value, mask, dropout)

    def _attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        dropout: float,
    ) -> Tensor:
        if layer == self.watch:
            self._watched = self._step_rows, query[:, -1, 0]
        self._keys[layer][self._rows, :, self._positions] = key
        self._values[layer][self._rows, :, self._positions] = value
        attended = F.scaled_dot_product_attention(
            query.transpose(1, 2),
            self._keys[layer, :, :, : self._held][self._attended],
            self._values[layer, :, :, : self._held][self._attended],
            attn_mask=mask,
            dropout_p=dropout,
            enable_gqa=key.shape[2] < query.shape[2],
        )
        return attended.transpose(1, 2)

    def attention(self, row: int, positions: list[int]) -> Tensor:
        """Attention of the first head in the watched layer, from the newest input of a row.

        Args:
            row: A row of the last step, in which every row read one input.
            positions: Where it attends to, N positions of the row.

        Returns:
            [N] float32 logits on the CPU.
        """
        assert self.watch is not None and self._watched is not None
        rows, queries = self._watched
        query = queries[rows.index(row)].float()
        keys = self._keys[self.watch, row, 0, positions].float()
        logits: Tensor = keys @ query / self._head_dim**0.5
        return logits.cpu()


def advance_rows(
    layers: Callable[[Tensor, KVCache], Tensor],
    embeddings: Tensor,
    rows: list[int],
    counts: list[int],
    cache: KVCache,
) -> Tensor:
    """Read `counts[s]` new inputs in each row and return the state after the last.

    Args:
        layers: Returns hidden states [S, Q, H] of inputs.
        embeddings: [S, Q, ...] inputs, right-padded.
        rows: S indices of rows in the cache.
        counts: S counts in 1..Q.
        cache: The past of the rows; extended in place.

    Returns:
        [S, H] hidden state of each row's last new position.
    """
    cache.extend(rows, counts)
    hidden = layers(embeddings, cache)
    if hidden.shape[1] == 1:
        return hidden[:, 0]
    last = torch.tensor(counts, device=hidden.device) - 1
    return hidden[torch.arange(len(counts), device=hidden.device), last]
