"""Quantizes weights to a few bits, block by block.

Shapes: N outputs, K inputs, G blocks per output, S weights per block.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Factors on the scale of a block, of which the best is used. A factor below 1 clips the largest
# weight and rounds all others more finely, which reduces the error of 4-bit codes.
SHRINKAGES = {4: (1.0, 0.92, 0.84), 8: (1.0,)}
# Outputs quantized at a time. In float32 they take many times the memory of their codes.
ROWS = 256


def quantize_blocks(weight: Tensor, bits: int, block_size: int) -> tuple[Tensor, Tensor]:
    """Quantize a matrix, so that `(codes - 2^(bits - 1)) * scales` approximates it.

    Args:
        weight: [N, K] the matrix.
        bits: Bits of a code: 4 or 8.
        block_size: S, the number of consecutive weights of an output that share a scale. K is
            padded to whole blocks.

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
    # There is one more negative code than positive ones. The sign of the scale gives it to the side
    # of the largest weight.
    extreme = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True))
    codes, scales = blocks, extreme  # replaced in the first round
    least = torch.full_like(extreme, torch.inf)
    for shrinkage in SHRINKAGES[bits]:
        scale = shrinkage * extreme / -half
        scale[scale == 0] = 1.0
        rounded = (blocks / scale).round_().clamp_(-half, half - 1)
        if len(SHRINKAGES[bits]) == 1:
            codes, scales = rounded, scale
            break
        error = (rounded * scale - blocks).square_().sum(-1, keepdim=True)
        better = error < least
        codes, scales = rounded.where(better, codes), scale.where(better, scales)
        least = torch.minimum(least, error)
    return (codes + half).to(torch.uint8), scales.squeeze(-1)


def pack_codes(codes: Tensor, bits: int) -> Tensor:
    """Pack codes [N, G, S] into bytes [N, G, S * bits / 8], the first code in the low bits."""
    return codes if bits == 8 else codes[..., ::2] | (codes[..., 1::2] << 4)
