"""Keys and values of the rows that are being decoded.

Shapes: R rows held, S rows of them in a step, Q new positions of a row, K positions attended,
C capacity, A heads, d head width.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from sled.model.backbone import rotary_tables
from sled.model.config import Architecture

INITIAL_CAPACITY = 256


class CachedRow(NamedTuple):
    """What the cache holds of one row, as a value of its own: each [layers, A_kv, positions, d]."""

    keys: Tensor
    values: Tensor


class RowCache(Protocol):
    """What the decoder does with keys and values of rows, however they are kept."""

    def add_rows(self, count: int) -> None:
        """Append empty rows; if there is no memory for them, nothing has changed."""
        ...

    def move_row(self, source: int, target: int) -> None:
        """Put a row in the place of another."""
        ...

    def drop_rows(self, count: int) -> None:
        """Take away the last rows."""
        ...

    def read_row(self, row: int) -> CachedRow:
        """A copy of what a row holds."""
        ...

    def write_row(self, row: int, cached: CachedRow) -> None:
        """Let an empty row hold this."""
        ...


class KVCache:
    """Keys and values of independent rows, each of its own length; grows and shrinks as they do.

    A step names the rows that take part and how many new positions each appends (`extend`). Rows
    never see one another, nor the padding of a shorter neighbour, so a row's values do not depend
    on its company. It is an attention context of `sled.model.backbone`.

    Args:
        architecture: Sizes of the model.
        device: Where it lies.
        dtype: Of keys and values.

    Attributes:
        lengths: Positions held by each of the R rows.
    """

    cos: Tensor
    sin: Tensor
    _mask: Tensor | None

    def __init__(
        self, architecture: Architecture, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._head_dim, self._rope_theta = architecture.head_dim, architecture.rope_theta
        self._layers, self._heads = architecture.num_hidden_layers, architecture.num_key_value_heads
        self._usual_capacity = architecture.max_position_embeddings
        self.lengths: list[int] = []
        # Positions of each row's place that hold anything but zeros, padding included. Masked
        # positions count with weight 0, but 0 times NaN is NaN: a row that went wrong must not
        # be seen by whoever gets its place.
        self._used: list[int] = []
        # [layers, rows, A_kv, C, d]: a row's positions lie together, as attention reads them.
        self._keys = self._values = torch.zeros(0, device=device, dtype=dtype)
        self._allocate(0, 0)

    @property
    def capacity(self) -> int:
        """Positions that each row has room for as yet."""
        return self._keys.shape[3]

    @property
    def num_bytes(self) -> int:
        """Memory of keys and values."""
        return 2 * self._keys.numel() * self._keys.element_size()

    def memory(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Keys and values of `count` rows where they lie, each [layers, count, A_kv, C, d].

        Whoever writes there sees to `lengths`. They move when the cache grows.
        """
        rows = slice(first, first + count)
        return self._keys[:, rows], self._values[:, rows]

    # Rows come and go.

    def add_rows(self, count: int) -> None:
        """Append empty rows; if there is no memory for them, nothing has changed."""
        places, rows = self._keys.shape[1], len(self.lengths) + count
        if rows > places:
            self._allocate(max(rows, 2 * places), self.capacity)
        self.lengths += [0] * count
        self._used += [0] * count

    def move_row(self, source: int, target: int) -> None:
        """Put a row in the place of another."""
        held = self.lengths[source]
        for tensor in (self._keys, self._values):
            tensor[:, target, :, :held] = tensor[:, source, :, :held]
            tensor[:, target, :, held : self._used[target]] = 0
        self.lengths[target] = self._used[target] = held

    def drop_rows(self, count: int) -> None:
        """Take away the last rows."""
        for row in range(len(self.lengths) - count, len(self.lengths)):
            for tensor in (self._keys, self._values):
                tensor[:, row, :, : self._used[row]] = 0
        del self.lengths[len(self.lengths) - count :], self._used[len(self._used) - count :]
        if not self.lengths:
            self._allocate(0, 0)
        elif 4 * len(self.lengths) <= self._keys.shape[1]:
            self._allocate(2 * len(self.lengths), self.capacity)

    def read_row(self, row: int) -> CachedRow:
        """A copy of what a row holds."""
        held = self.lengths[row]
        return CachedRow(
            self._keys[:, row, :, :held].clone(), self._values[:, row, :, :held].clone()
        )

    def write_row(self, row: int, cached: CachedRow) -> None:
        """Let an empty row hold this."""
        held = cached.keys.shape[2]
        self.reserve(held)
        self._keys[:, row, :, :held], self._values[:, row, :, :held] = cached
        self.lengths[row] = self._used[row] = held

    def reserve(self, positions: int) -> None:
        """Make sure that rows have room for so many positions."""
        if positions > self.capacity:
            wanted = max(INITIAL_CAPACITY, min(2 * self.capacity, self._usual_capacity))
            self._allocate(self._keys.shape[1], max(positions, wanted))

    def _allocate(self, places: int, capacity: int) -> None:
        """Move to tensors of another size."""
        old = (self._keys, self._values)
        shape = (self._layers, places, self._heads, capacity, self._head_dim)
        new = tuple(tensor.new_zeros(shape) for tensor in old)
        if len(self.lengths):
            rows, positions = len(self.lengths), min(capacity, old[0].shape[3])
            for target, source in zip(new, old, strict=True):
                target[:, :rows, :, :positions] = source[:, :rows, :, :positions]
        tables = rotary_tables(
            capacity, self._head_dim, self._rope_theta, old[0].device, old[0].dtype
        )
        self._keys, self._values = new
        self._rotary = torch.stack(tables)  # [2, C, d]

    # A step.

    def extend(self, rows: list[int], counts: list[int]) -> None:
        """Make room for `counts[s]` new positions of each row, right-padded to the largest."""
        device = self._keys.device
        longest = max(counts)
        self.reserve(max(self.lengths[row] for row in rows) + longest)
        start = torch.tensor([self.lengths[row] for row in rows], device=device)
        # A row's padding positions write rubbish ahead of it, which its next real positions
        # overwrite before anything may attend to them.
        self._rows = torch.tensor(rows, device=device)[:, None]
        self._positions = start[:, None] + torch.arange(longest, device=device)  # [S, Q]
        for row, count in zip(rows, counts, strict=True):
            self._used[row] = max(self._used[row], self.lengths[row] + longest)
            self.lengths[row] += count
        # The usual case, all rows from the first on, is read where it lies: no copy is made.
        in_place = rows == list(range(len(rows)))
        self._attended = slice(0, len(rows)) if in_place else self._rows.squeeze(1)
        self._held = max(self.lengths[row] for row in rows)
        # One new position of rows of the same length may see everything.
        self._mask = None
        if longest > 1 or len({self.lengths[row] for row in rows}) > 1:
            key_index = torch.arange(self._held, device=device)
            hidden = key_index > self._positions[:, :, None]
            # As numbers to be added: attention would turn truth values into them in every layer.
            mask = torch.zeros(hidden.shape, device=device, dtype=self._keys.dtype)
            self._mask = mask.masked_fill_(hidden, -torch.inf)[:, None]  # [S, 1, Q, K]
        self.cos, self.sin = self._rotary[:, self._positions].unsqueeze(3)  # each [S, Q, 1, d]

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, dropout: float
    ) -> Tensor:
        """Attention of the step's new positions [S, Q, A, d] to all that their rows hold."""
        self._keys[layer][self._rows, :, self._positions] = key
        self._values[layer][self._rows, :, self._positions] = value
        attended = F.scaled_dot_product_attention(
            query.transpose(1, 2),
            self._keys[layer, :, :, : self._held][self._attended],
            self._values[layer, :, :, : self._held][self._attended],
            attn_mask=self._mask,
            dropout_p=dropout,
            enable_gqa=key.shape[2] < query.shape[2],
        )
        return attended.transpose(1, 2)
