"""A Triton kernel for `sled.fast.attention.attend_pages` on GPUs.

Each program computes one head of one row. It reads only the positions that the row holds, directly
from their pages, so the cost of a row grows with its length. Sums are computed in float32.

Shapes: R rows, N pages, G positions per page, T pages per row, A heads, d head width.
"""

# Triton compiles the kernels and replaces tensors by pointers, so their arguments have no types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _rotated(line, cos, sin, HEAD_DIM: tl.constexpr):
    """Load d numbers and rotate them as `sled.model.backbone.rotate` does."""
    i = tl.arange(0, HEAD_DIM)
    x = tl.load(line + i).to(tl.float32)
    other = tl.load(line + (i + HEAD_DIM // 2) % HEAD_DIM).to(tl.float32)
    return x * cos + tl.where(i < HEAD_DIM // 2, -other, other) * sin


@triton.jit
def attend_kernel(
    output,  # [R, A d]
    qkv,  # [R, (A + 2 A_kv) d]
    keys,  # [N, A_kv, G, d]
    values,  # [N, A_kv, G, d]
    tables,  # [R, T]
    positions,  # [R]
    rotary,  # [2, T G, d]
    tables_stride,
    positions_stride,
    num_positions,  # T G
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    PAGE: tl.constexpr,
    HEAD_DIM: tl.constexpr,
):
    """Attend with one head of one row; the grid is (R, A)."""
    row, head = tl.program_id(0), tl.program_id(1)
    kv_head = head // (HEADS // KV_HEADS)
    i, g = tl.arange(0, HEAD_DIM), tl.arange(0, PAGE)
    position = tl.load(positions + row * positions_stride)
    cos = tl.load(rotary + position * HEAD_DIM + i).to(tl.float32)
    sin = tl.load(rotary + (num_positions + position) * HEAD_DIM + i).to(tl.float32)
    line = qkv + row.to(tl.int64) * (HEADS + 2 * KV_HEADS) * HEAD_DIM
    query = _rotated(line + head * HEAD_DIM, cos, sin, HEAD_DIM) * HEAD_DIM**-0.5
    key = _rotated(line + (HEADS + kv_head) * HEAD_DIM, cos, sin, HEAD_DIM)
    # Rounded as later steps will read it from the page.
    key = key.to(keys.dtype.element_ty)
    value = tl.load(line + (HEADS + KV_HEADS + kv_head) * HEAD_DIM + i)

    if head % (HEADS // KV_HEADS) == 0:  # one program of those that share the key
        page = tl.load(tables + row * tables_stride + position // PAGE).to(tl.int64)
        place = ((page * KV_HEADS + kv_head) * PAGE + position % PAGE) * HEAD_DIM + i
        tl.store(keys + place, key)
        tl.store(values + place, value)

    # Online softmax: sums are relative to the largest score so far. The new position comes first.
    largest = tl.sum(query * key.to(tl.float32), 0)
    total = 1.0
    mixed = value.to(tl.float32)
    for number in range(0, tl.cdiv(position, PAGE)):
        page = tl.load(tables + row * tables_stride + number).to(tl.int64)
        place = ((page * KV_HEADS + kv_head) * PAGE + g[:, None]) * HEAD_DIM + i[None, :]
        before = number * PAGE + g < position
        held = tl.load(keys + place, mask=before[:, None], other=0.0).to(tl.float32)
        score = tl.where(before, tl.sum(held * query[None, :], 1), float("-inf"))
        new_largest = tl.maximum(largest, tl.max(score, 0))
        shrinkage = tl.exp(largest - new_largest)
        weight = tl.exp(score - new_largest)
        held = tl.load(values + place, mask=before[:, None], other=0.0).to(tl.float32)
        mixed = mixed * shrinkage + tl.sum(held * weight[:, None], 0)
        total = total * shrinkage + tl.sum(weight, 0)
        largest = new_largest
    place = (row.to(tl.int64) * HEADS + head) * HEAD_DIM + i
    tl.store(output + place, (mixed / total).to(output.dtype.element_ty))


def attend_pages_kernel(
    qkv: Tensor, num_heads: int, pages: Tensor, tables: Tensor, positions: Tensor, rotary: Tensor
) -> Tensor:
    """Compute `sled.fast.attention.attend_pages`; d must be a power of two."""
    _, _, kv_heads, page, head_dim = pages.shape
    assert qkv.is_contiguous() and tables.stride(1) == 1
    output = torch.empty(len(qkv), num_heads * head_dim, device=qkv.device, dtype=qkv.dtype)
    with torch.cuda.device_of(qkv):  # Triton launches on the current device
        attend_kernel[(len(qkv), num_heads)](
            output,
            qkv,
            pages[0],
            pages[1],
            tables,
            positions,
            rotary,
            tables.stride(0),
            positions.stride(0),
            rotary.shape[1],
            HEADS=num_heads,
            KV_HEADS=kv_heads,
            PAGE=page,
            HEAD_DIM=head_dim,
            num_warps=4,
        )
    return output
