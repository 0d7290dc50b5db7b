"""The mel scale."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def mel_filterbank(sample_rate: int, n_fft: int, n_mels: int) -> Tensor:
    """Triangular filters [n_fft // 2 + 1, n_mels], even in mels (HTK), each summing to one."""

    def to_hz(mel: np.ndarray) -> np.ndarray:
        return 700 * (10 ** (mel / 2595) - 1)

    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = to_hz(np.linspace(0, top, n_mels + 2))
    # A filter narrower than one bin would be empty: widen it to reach the neighbouring bins.
    bin_hz = sample_rate / n_fft
    left = np.minimum(edges[:-2], edges[1:-1] - bin_hz)
    right = np.maximum(edges[2:], edges[1:-1] + bin_hz)
    hz = np.arange(n_fft // 2 + 1)[:, None] * bin_hz
    rising = (hz - left) / (edges[1:-1] - left)
    falling = (right - hz) / (right - edges[1:-1])
    filters = np.maximum(0, np.minimum(rising, falling))
    return torch.from_numpy(filters / filters.sum(0)).float()
