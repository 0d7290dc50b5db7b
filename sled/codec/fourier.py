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
        real, imaginary = (_twice_inside(one.T / size, size) for one in _matrices(size))
        return (magnitude * phase.cos() @ real + magnitude * phase.sin() @ imaginary) * window
    if not columns:
        return magnitude.new_zeros(batch, 0, size)
    waves: Tensor = torch.fft.irfft(torch.polar(magnitude, phase), size) * window
    return waves


def filtered(windows: Tensor, gain: Tensor, phase: Tensor | None = None) -> Tensor:
    """Filter windows [..., size] by gains [..., bins] and, unless it is None, phases."""
    size = windows.shape[-1]
    if torch.onnx.is_in_onnx_export():
        size = int(size)
        forth = _matrices(size)
        real, imaginary = windows @ forth[0], windows @ forth[1]
        if phase is not None:
            cos, sin = phase.cos(), phase.sin()
            real, imaginary = real * cos - imaginary * sin, real * sin + imaginary * cos
        back = [_twice_inside(one.T / size, size) for one in forth]
        return gain * real @ back[0] + gain * imaginary @ back[1]
    factors = gain if phase is None else torch.polar(gain, phase)
    changed: Tensor = torch.fft.irfft(torch.fft.rfft(windows) * factors, n=size)
    return changed


def _twice_inside(rows: Tensor, size: int) -> Tensor:
    """Rows [bins, size], twice those that stand for two bins: all but the first and the last."""
    factors = rows.new_full((size // 2 + 1, 1), 2.0)
    factors[0] = factors[-1] = 1.0
    return rows * factors


@cache
def _matrices(size: int) -> tuple[Tensor, Tensor]:
    """Cosines and negative sines [size, bins]: what a transform multiplies samples with."""
    time, bins = torch.arange(size, dtype=torch.float64), torch.arange(size // 2 + 1)
    angle = 2 * torch.pi * (time[:, None] * bins % size) / size
    return angle.cos().float(), -angle.sin().float()
