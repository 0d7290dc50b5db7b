"""The interface of streams from units to samples that run ONNX graphs.

Shapes: T units, S samples; `...` is the shape of a unit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np


class UnitStream(ABC):
    """A stream of one text."""

    @abstractmethod
    def feed(self, units: np.ndarray) -> np.ndarray:
        """Feed the next units [T, ...]; returns the samples [S] that are complete."""

    def end_segment(self) -> np.ndarray:
        """End a segment, which may be decoded alone; returns the samples [S] that are complete."""
        return np.zeros(0, np.float32)

    @abstractmethod
    def finish(self) -> np.ndarray:
        """The remaining samples [S]."""
