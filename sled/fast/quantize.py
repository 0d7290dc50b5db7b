"""Rounding weights to a few bits, block by block.

Shapes: N outputs, K inputs, G blocks of an output's weights, S weights of a block.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Cutting off a block's largest weight a little lets all others be rounded more finely, which pays
# if there are few codes.
SHRINKAGES = {4: (1.0, 0.92, 0.84), 8: (1.0,)}
# Outputs that are rounded at a time: in float32 they take many times the memory of their codes.
ROWS = 256


def quantize_blocks(weight: Tensor, bits: int, block_size: int) -> tuple[Tensor, Tensor]:
    """Round a matrix so that it is nearly `(codes - 2^(bits - 1)) * scales`.

    Args:
        weight: [N, K].
        bits: Of a code: 4 or 8.
        block_size: S consecutive weights of an output share a scale; K is padded to whole blocks.

    Returns:
        uint8 codes [N, G, S], and float32 scales [N, G] of either sign.
    """
    parts = [_quantize_rows(rows, bits, block_size) for rows in torch.split(weight, ROWS)]
    codes, scales = zip(*parts, strict=True)
    return torch.cat(codes), torch.cat(scales)


def _quantize_rows(weight: Tensor, bits: int, block_size: int) -> tuple[Tensor, Tensor]:
    padding = -weight.shape[1] % block_size
    blocks = torch.unflatten(F.pad(weight.float(), (0, padding)), 1, (-1, block_size))
    half = 2 ** (bits - 1)
    # There is one more code on the negative side: it goes to the side of the largest weight.
    extreme = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True))
    codes, scales = torch.zeros_like(blocks), torch.ones_like(extreme)
    least = torch.full_like(extreme, torch.inf)
    for shrinkage in SHRINKAGES[bits]:
        scale = shrinkage * extreme / -half
        scale[scale == 0] = 1.0
        rounded = (blocks / scale).round_().clamp_(-half, half - 1)
        error = (rounded * scale - blocks).square_().sum(-1, keepdim=True)
        better = error < least
        codes, scales = rounded.where(better, codes), scale.where(better, scales)
        least = torch.minimum(least, error)
    return (codes + half).to(torch.uint8), scales.squeeze(-1)


def pack_codes(codes: Tensor, bits: int) -> Tensor:
    """Codes [N, G, S] as bytes [N, G, S * bits / 8]; a byte's first code is in its low bits."""
    return codes if bits == 8 else codes[..., ::2] | (codes[..., 1::2] << 4)
