"""Quantizes weights to bytes, block by block.

Shapes: N outputs, K inputs, G blocks per output, S weights per block.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

HALF = 128  # the code of 0
# ONNX Runtime attends with heads whose width is a multiple of this.
HEAD_MULTIPLE = 16
# Outputs quantized at a time. In float32 they take many times the memory of their codes.
ROWS = 256


def quantize_blocks(weight: Tensor, block_size: int) -> tuple[Tensor, Tensor]:
    """Quantize a matrix, so that `(codes - 128) * scales` approximates it.

    Args:
        weight: [N, K] the matrix.
        block_size: S, the number of consecutive weights of an output that share a scale. K is
            padded to whole blocks.

    Returns:
        uint8 codes [N, G, S], and float32 scales [N, G] of either sign.
    """
    parts = [_quantize_rows(rows, block_size) for rows in torch.split(weight, ROWS)]
    codes, scales = zip(*parts, strict=True)
    return torch.cat(codes), torch.cat(scales)


def _quantize_rows(weight: Tensor, block_size: int) -> tuple[Tensor, Tensor]:
    padding = -weight.shape[1] % block_size
    blocks = torch.unflatten(F.pad(weight.float(), (0, padding)), 1, (-1, block_size))
    # There is one more negative code than positive ones. The sign of the scale gives it to the side
    # of the largest weight.
    extreme = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True))
    scale = extreme / -HALF
    scale[scale == 0] = 1.0
    codes = (blocks / scale).round_().clamp_(-HALF, HALF - 1)
    return (codes + HALF).to(torch.uint8), scale.squeeze(-1)
