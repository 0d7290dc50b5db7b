"""Attention to pages, eager and in the Triton kernel, against attention to each row by itself.

Without a GPU the kernel runs in Triton's interpreter: `pip install triton`, and set
TRITON_INTERPRET=1 before the import.
"""

import os
from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.fast.attention import attend_pages_eagerly
from sled.fast.paged_cache import PAGE
from sled.model.backbone import rotary_tables, rotate
from tests.debug import randn

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() and not INTERPRETED else "cpu"
CAN_RUN = find_spec("triton") is not None and (INTERPRETED or DEVICE == "cuda")
KERNEL = pytest.param(
    "kernel",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not CAN_RUN, reason="needs a CUDA device, or Triton's interpreter"),
    ],
)


def attend(form: str, *args: object) -> torch.Tensor:
    if form == "plain":
        return attend_pages_eagerly(*args)
    from sled.fast.attention_kernel import attend_pages_kernel

    return attend_pages_kernel(*args)


@pytest.mark.parametrize("form", ["plain", KERNEL])
@given(
    held=st.lists(st.integers(0, 3 * PAGE - 1), min_size=1, max_size=5),
    kv_heads=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 9),
)
@settings(max_examples=15)
def test_a_new_position_attends_to_all_positions_of_its_row_only(form, held, kv_heads, seed):
    heads, width, most = 4, 16, 3
    rows = len(held)
    order = torch.randperm(rows * most, generator=torch.Generator().manual_seed(seed)) + 1
    tables = order.view(rows, most).to(DEVICE, torch.int32)
    pages = torch.full((2, rows * most + 1, kv_heads, PAGE, width), torch.nan, device=DEVICE)
    past = [randn(2, n, kv_heads, width, seed=seed + i).to(DEVICE) for i, n in enumerate(held)]
    for table, one in zip(tables.long(), past, strict=True):
        for number in range(one.shape[1]):
            pages[:, table[number // PAGE], :, number % PAGE] = one[:, number]
    qkv = randn(rows, (heads + 2 * kv_heads) * width, seed=seed).to(DEVICE)
    positions = torch.tensor(held, dtype=torch.int32, device=DEVICE)
    rotary = torch.stack(rotary_tables(most * PAGE, width, 1e4, qkv.device, qkv.dtype))

    attended = attend(form, qkv, heads, pages, tables, positions, rotary)

    for row, (number, one) in enumerate(zip(held, past, strict=True)):
        new = qkv[row].view(-1, width)
        rotated = rotate(new[: heads + kv_heads], *rotary[:, number, None])
        keys = torch.cat((one[0], rotated[None, heads:]))  # [K, A_kv, d]
        values = torch.cat((one[1], new[None, heads + kv_heads :]))
        page = tables[row, number // PAGE]
        torch.testing.assert_close(pages[0, page, :, number % PAGE], keys[-1])
        torch.testing.assert_close(pages[1, page, :, number % PAGE], values[-1])
        expected = F.scaled_dot_product_attention(
            rotated[:heads, None],
            keys.transpose(0, 1),
            values.transpose(0, 1),
            enable_gqa=True,
        )
        torch.testing.assert_close(attended[row], expected.flatten(), rtol=1e-5, atol=1e-5)
