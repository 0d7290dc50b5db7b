"""What a training run tells of itself between two points of its log."""

from __future__ import annotations

import time

import torch
from accelerate import Accelerator
from torch import Tensor

from sled.model.lm import SpeechLlamaForCausalLM, SpeechLlamaOutput
from sled.training.callbacks.throughput import measure_matmul_rate, training_flops

LOSS_PARTS = ("score_loss", "attraction", "repulsion", "alignment_loss", "stop_loss")


class Progress:
    """Sums over the steps since the last report, on this process.

    Args:
        model: What is trained.
        device: Where.
        dtype: Of most of its arithmetic.
    """

    def __init__(
        self, model: SpeechLlamaForCausalLM, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._model, self._device = model, device
        self._peak = measure_matmul_rate(device, dtype)
        self._start()

    def _start(self) -> None:
        self._parts = torch.zeros(len(LOSS_PARTS), device=self._device)
        self._frames = self._positions = self._slots = self._flops = 0.0
        self._since = time.perf_counter()
        self._paused_s = 0.0

    def add(self, output: SpeechLlamaOutput, frame_share: Tensor, stop_share: Tensor) -> None:
        """Count a batch.

        Args:
            output: Of its forward pass.
            frame_share: What its mean over frames counts for in the mean of the step.
            stop_share: Likewise, of its mean over stop decisions.
        """
        assert output.lengths is not None and output.num_frames is not None
        for index, part in enumerate(LOSS_PARTS):
            share = stop_share if part == "stop_loss" else frame_share
            self._parts[index] += output[part].detach() * share
        self._frames += output.num_frames
        self._positions += sum(output.lengths)
        is_padded, longest = self._device.type != "cpu", max(output.lengths)
        self._slots += len(output.lengths) * longest if is_padded else sum(output.lengths)
        self._flops += training_flops(self._model, output.lengths, output.num_frames)

    def pause(self, seconds: float) -> None:
        """Leave out time that was spent on something other than training."""
        self._paused_s += seconds

    def report(self, num_steps: int, accelerator: Accelerator) -> dict[str, float]:
        """Losses averaged over the steps, and the speed; over all processes. Starts anew.

        `peak_share` is the part of the measured rate of large matrix products that training
        reached; `attention_padding` the part of attention's positions that are padding, the only
        place where there is any, and none on a processor.
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
