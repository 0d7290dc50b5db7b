"""Losses and speed of training between two log entries."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from accelerate import Accelerator
from torch import Tensor

from sled.training.callbacks.throughput import matmul_rate


class Progress:
    """Sums over the steps since the last report, on this process.

    Args:
        unit: What speech consists of, in the plural: its rate is told.
        device: Device of the model.
        dtype: Type in which most of its arithmetic is done.
    """

    def __init__(self, unit: str, device: torch.device, dtype: torch.dtype) -> None:
        self._unit, self._device = unit, device
        # Measured here, because it draws random numbers, which a run must not.
        self._peak = matmul_rate(device, dtype)
        self._start()

    def _start(self) -> None:
        self._parts: dict[str, Tensor] = {}
        self._units = self._positions = self._padded_positions = self._flops = 0.0
        self._since, self._paused_s = time.perf_counter(), 0.0

    def add(
        self,
        parts: Mapping[str, Tensor],
        *,
        units: int,
        flops: float = 0.0,
        positions: int = 0,
        padded_positions: int = 0,
    ) -> None:
        """Add a batch.

        Args:
            parts: Shares of losses and of what else is told, whose sums are means over a step.
            units: Number of units of speech that were learned.
            flops: Operations; see `throughput.training_flops`. 0: not counted.
            positions: Number of positions of attention.
            padded_positions: The same with padding.
        """
        for name, part in parts.items():
            self._parts[name] = self._parts.get(name, 0.0) + part.detach()
        self._units += units
        self._flops += flops
        self._positions += positions
        self._padded_positions += padded_positions

    def pause(self, seconds: float) -> None:
        """Exclude time that was not spent on training."""
        self._paused_s += seconds

    def report(self, num_steps: int, accelerator: Accelerator) -> dict[str, float]:
        """Mean losses per step and the speed, over all processes; then start again at 0.

        `peak_share` is the achieved share of the measured rate of large matrix products, if
        operations are counted, and `attention_padding` the share of padding in the positions of
        attention, if those are.
        """
        elapsed_s = time.perf_counter() - self._since - self._paused_s
        own = [
            self._units,
            self._positions,
            self._padded_positions,
            self._flops / self._peak / elapsed_s,
        ]
        totals = accelerator.reduce(torch.tensor(own, device=self._device), "sum")
        units, positions, padded, share = totals.tolist()
        names, parts = list(self._parts), list(self._parts.values())
        self._start()
        if not units:
            return {}
        means = torch.stack(parts).float() if parts else torch.zeros(0, device=self._device)
        means = accelerator.reduce(means, "mean") / max(1, num_steps)
        told = dict(zip(names, means.tolist(), strict=True))
        told[f"{self._unit}_per_second"] = units / elapsed_s
        if share:
            told["peak_share"] = share / accelerator.num_processes
        if padded:
            told["attention_padding"] = 1 - positions / padded
        return told
