"""Attention of one new position of each row to the pages that the row holds.

Shapes: R rows, N pages, G positions of a page, T pages of a row, A heads, d head width.
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
    """Rotate a position's queries and keys, put keys and values into their page, and attend.

    On a GPU by a kernel that reads no more than each row's own positions; elsewhere plainly.

    Args:
        qkv: [R, (A + 2 A_kv) d] queries, keys and values.
        num_heads: A.
        pages: [2, N, A_kv, G, d] keys and values, written to.
        tables: int32 [R, T] the rows' pages.
        positions: int32 [R] which position of its row each is, from 0 on.
        rotary: [2, T G, d] cosines and sines.

    Returns:
        [R, A d].
    """
    head_dim = pages.shape[-1]
    if qkv.is_cuda and head_dim & (head_dim - 1) == 0 and _has_triton():
        from sled.fast.attention_kernel import attend_pages_kernel

        return attend_pages_kernel(qkv, num_heads, pages, tables, positions, rotary)
    return attend_pages_plainly(qkv, num_heads, pages, tables, positions, rotary)


def attend_pages_plainly(
    qkv: Tensor, num_heads: int, pages: Tensor, tables: Tensor, positions: Tensor, rotary: Tensor
) -> Tensor:
    """`attend_pages` with the operators of torch, which read all T pages of each row."""
    _, _, kv_heads, _, head_dim = pages.shape
    heads = qkv.unflatten(1, (-1, head_dim))  # [R, A + 2 A_kv, d]
    cos, sin = rotary[:, positions].unsqueeze(2)  # each [R, 1, d]
    rotated = rotate(heads[:, : num_heads + kv_heads], cos, sin)
    page = tables.gather(1, (positions // PAGE)[:, None].long()).squeeze(1)
    offset = positions % PAGE
    pages[0, page, :, offset] = rotated[:, num_heads:]
    pages[1, page, :, offset] = heads[:, num_heads + kv_heads :]
    unused = torch.arange(tables.shape[1] * PAGE, device=qkv.device) > positions[:, None]
    # Another row may have left anything there, even what is no number.
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
    """It comes with torch wherever torch is built for CUDA on Linux."""
    return find_spec("triton") is not None
