"""Attention of one new position per row to the pages of the row.

Shapes: R rows, N pages, G positions per page, T pages per row, A heads, d head width.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from sled.fast.paged_cache import PAGE, gather_pages
from sled.model.backbone import rotate


def attend_pages(
    qkv: Tensor, num_heads: int, pages: Tensor, tables: Tensor, positions: Tensor, rotary: Tensor
) -> Tensor:
    """Rotate the new queries and keys, store keys and values in their page, and attend.

    On a GPU, a Triton kernel reads only the positions that each row holds. On other devices,
    `attend_pages_eagerly` does the work.

    Args:
        qkv: [R, (A + 2 A_kv) d] queries, keys and values.
        num_heads: A, the number of query heads.
        pages: [2, N, A_kv, G, d] keys and values. The new ones are written to them.
        tables: int32 [R, T] the pages of each row.
        positions: int32 [R] the index of the new position in its row, from 0.
        rotary: [2, T G, d] cosines and sines.

    Returns:
        [R, A d] the attention output.
    """
    head_dim = pages.shape[-1]
    if qkv.is_cuda and head_dim & (head_dim - 1) == 0 and _has_triton():
        from sled.fast.attention_kernel import attend_pages_kernel

        return attend_pages_kernel(qkv, num_heads, pages, tables, positions, rotary)
    return attend_pages_eagerly(qkv, num_heads, pages, tables, positions, rotary)


def attend_pages_eagerly(
    qkv: Tensor, num_heads: int, pages: Tensor, tables: Tensor, positions: Tensor, rotary: Tensor
) -> Tensor:
    """Compute `attend_pages` with operators of torch, which read all T pages of each row."""
    _, _, kv_heads, _, head_dim = pages.shape
    heads = torch.unflatten(qkv, 1, (-1, head_dim))  # [R, A + 2 A_kv, d]
    cos, sin = rotary[:, positions].unsqueeze(2)  # each [R, 1, d]
    rotated = rotate(heads[:, : num_heads + kv_heads], cos, sin)
    page = tables.gather(1, (positions // PAGE)[:, None].long()).squeeze(1)
    offset = positions % PAGE
    pages[0, page, :, offset] = rotated[:, num_heads:]
    pages[1, page, :, offset] = heads[:, num_heads + kv_heads :]
    unused = torch.arange(tables.shape[1] * PAGE, device=qkv.device) > positions[:, None]
    # Reused pages hold arbitrary values, possibly NaN, and 0 times NaN is NaN.
    keys, values = gather_pages(pages, tables).masked_fill_(unused[:, None, :, None], 0)
    mask = torch.zeros(unused.shape, device=qkv.device, dtype=qkv.dtype)
    attended = F.scaled_dot_product_attention(
        rotated[:, :num_heads, None],
        keys,
        values,
        attn_mask=mask.masked_fill_(unused, -torch.inf)[:, None, None],
        enable_gqa=kv_heads < num_heads,
    )
    return attended.flatten(1)


@cache
def _has_triton() -> bool:
    """Whether Triton is installed, as it is with CUDA builds of torch on Linux."""
    return find_spec("triton") is not None
