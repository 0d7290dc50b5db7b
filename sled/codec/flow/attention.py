"""Attention of flows: to all of a sequence, or in chunks, with what was remembered of earlier ones.

Shapes: B batch, Q positions of a piece, K positions attended, A heads, d head width, H width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from sled.codec.exact import back, exact_device
from sled.codec.memory import Memory
from sled.model.backbone import DistanceContext
from sled.model.tokens.relative_attention import THETA


def chunk_mask(valid: Tensor, chunk: int) -> Tensor:
    """Which positions see which: those of their own chunk, and earlier ones.

    Args:
        valid: bool [B, T], False at padding.
        chunk: Positions of a chunk. 0: all see all.

    Returns:
        bool [B, T, T], [b, i, j] says whether i sees j.
    """
    if not chunk:
        return valid[:, None].expand(-1, valid.shape[1], -1)
    position = torch.arange(valid.shape[1], device=valid.device)
    ends = (position // chunk + 1) * chunk
    return valid[:, None] & (position < ends[:, None])


class ChunkContext(DistanceContext):
    """An attention context of padded sequences, or of one piece of a stream.

    Args:
        positions: int64 [1 or B, Q] the places of the inputs in their sequences.
        width: H, the width of the layers, if they score distances, else 0.
        like: A tensor of the type of the inputs.
        visible: bool [B, Q, K] which positions see which. None: all see all.
        memory: Remembers keys and values.
    """

    def __init__(
        self,
        positions: Tensor,
        width: int,
        like: Tensor,
        visible: Tensor | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._memory = memory or Memory.of_whole()
        self._mask = None if visible is None else visible[:, None]
        device = exact_device(like.device)
        half = torch.arange(0, width, 2, device=device, dtype=torch.float64)
        self._frequencies = THETA ** -(half / max(width, 1))
        cos, sin = self._tables(positions, like)
        self.cos, self.sin = (x.repeat(1, 1, 2)[:, :, None] for x in (cos, sin))
        if width:
            known = self._memory.keys(positions.expand(len(like), -1))
            self._vectors = torch.cat(self._tables(known, like), -1)[:, None]  # [B, 1, K, H]

    def _tables(self, positions: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines [B, T, H / 2]; in float64 first, since positions may be large."""
        angle = positions[..., None].to(self._frequencies.device) * self._frequencies
        return back(angle.cos(), like), back(angle.sin(), like)

    @override
    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, dropout: float
    ) -> Tensor:
        key, value = self._memory.keys(key), self._memory.keys(value)
        return _attend(query, key, value, self._mask, dropout)

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
        key, value = self._memory.keys(key), self._memory.keys(value)
        scores = by_distance.transpose(1, 2) @ self._vectors.mT  # [B, A, Q, K]
        if self._mask is not None:
            scores = scores.masked_fill(~self._mask, -torch.inf)
        return _attend(query, key, value, scores, dropout)


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float
) -> Tensor:
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    attended: Tensor = F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout
    )
    return attended.transpose(1, 2)
