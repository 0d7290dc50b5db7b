"""Random numbers for both forms."""

from __future__ import annotations

import numpy as np
import torch


class TorchNoise:
    """What PyTorch's generator with a seed draws."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def standard_normal(self, size: int) -> np.ndarray:
        return torch.randn(size, generator=self.generator).numpy()

    def standard_exponential(self, size: int) -> np.ndarray:
        return torch.empty(size).exponential_(1, generator=self.generator).numpy()


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
