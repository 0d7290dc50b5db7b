"""Fourier transforms of windows; in ONNX graphs as products with matrices.

ONNX has no complex numbers, and its own transforms are slow.

Shapes: B batch, n windows, size samples of a window, bins = size / 2 + 1.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


def spectrum_of(signal: Tensor, window: Tensor, hop: int) -> Tensor:
    """The real and the imaginary parts [B, 2 bins, n] of windows of a signal [B, S].

    Args:
        signal: At least as long as a window.
        window: [size].
        hop: Samples between two windows.
    """
    size = len(window)
    if torch.onnx.is_in_onnx_export():
        real, imaginary = _matrices(size)
        products = torch.cat((real, imaginary), 1) * window[:, None]  # [size, 2 bins]
        return F.conv1d(signal[:, None], products.T[:, None], stride=hop)
    columns = torch.fft.rfft(signal.unfold(-1, size, hop) * window)
    return torch.cat((columns.real, columns.imag), -1).mT


def waves_of(magnitude: Tensor, phase: Tensor, window: Tensor) -> Tensor:
    """The windows [B, n, size] that have these magnitudes and phases [B, n, bins]."""
    size, (batch, columns, _) = len(window), magnitude.shape
    if torch.onnx.is_in_onnx_export():
        real, imaginary = (one.T / size for one in _matrices(size))  # [bins, size]
        # All bins but the first and the last stand for two.
        magnitude = magnitude * torch.cat(
            (
                magnitude.new_ones(1),
                magnitude.new_full((size // 2 - 1,), 2.0),
                magnitude.new_ones(1),
            )
        )
        return (magnitude * phase.cos() @ real + magnitude * phase.sin() @ imaginary) * window
    if not columns:
        return magnitude.new_zeros(batch, 0, size)
    waves: Tensor = torch.fft.irfft(torch.polar(magnitude, phase), size) * window
    return waves


@cache
def _matrices(size: int) -> tuple[Tensor, Tensor]:
    """Cosines and negative sines [size, bins]: what a transform multiplies samples with."""
    time, bins = torch.arange(size, dtype=torch.float64), torch.arange(size // 2 + 1)
    angle = 2 * torch.pi * (time[:, None] * bins % size) / size
    return angle.cos().float(), -angle.sin().float()
