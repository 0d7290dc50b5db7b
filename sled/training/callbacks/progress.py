"""Losses and speed of training between two log entries."""

from __future__ import annotations

import time

import torch
from accelerate import Accelerator
from torch import Tensor

from sled.model.lm import SpeechLM, TrainingOutput
from sled.training.callbacks.throughput import matmul_rate, training_flops

LOSS_PARTS = ("score_loss", "attraction", "repulsion", "alignment_loss", "stop_loss")


class Progress:
    """Sums over the steps since the last report, on this process.

    Args:
        model: The model in training.
        device: Its device.
        dtype: Type in which most of its arithmetic is done.
    """

    def __init__(self, model: SpeechLM, device: torch.device, dtype: torch.dtype) -> None:
        self._model, self._device = model, device
        self._peak = matmul_rate(device, dtype)
        self._start()

    def _start(self) -> None:
        self._parts = torch.zeros(len(LOSS_PARTS), device=self._device)
        self._frames = self._positions = self._slots = self._flops = 0.0
        self._since = time.perf_counter()
        self._paused_s = 0.0

    def add(self, output: TrainingOutput, frame_share: Tensor, stop_share: Tensor) -> None:
        """Add a batch.

        Args:
            output: Output of its forward pass.
            frame_share: Weight of its mean over frames in the mean of the step.
            stop_share: Weight of its mean over stop decisions in the mean of the step.
        """
        for index, part in enumerate(LOSS_PARTS):
            share = stop_share if part == "stop_loss" else frame_share
            self._parts[index] += getattr(output, part).detach() * share
        self._frames += output.num_frames
        self._positions += sum(output.lengths)
        is_padded, longest = self._device.type != "cpu", max(output.lengths)
        self._slots += len(output.lengths) * longest if is_padded else sum(output.lengths)
        self._flops += training_flops(self._model, output.lengths, output.num_frames)

    def pause(self, seconds: float) -> None:
        """Exclude time that was not spent on training."""
        self._paused_s += seconds

    def report(self, num_steps: int, accelerator: Accelerator) -> dict[str, float]:
        """Mean losses per step and the speed, over all processes; then start again at 0.

        `peak_share` is the achieved share of the measured rate of large matrix products.
        `attention_padding` is the share of padding in the positions of attention. Only attention is
        padded, and not on a CPU.
        """
        elapsed_s = time.perf_counter() - self._since - self._paused_s
        own = [self._frames, self._positions, self._slots, self._flops / self._peak / elapsed_s]
        totals = accelerator.reduce(torch.tensor(own, device=self._device), "sum")
        parts = accelerator.reduce(self._parts, "mean") / max(1, num_steps)
        frames, positions, slots, peak_share = totals.tolist()
        self._start()
        if not frames:
            return {}
        return dict(zip(LOSS_PARTS, parts.tolist(), strict=True)) | {
            "frames_per_second": frames / elapsed_s,
            "peak_share": peak_share / accelerator.num_processes,
            "attention_padding": 1 - positions / slots,
        }
