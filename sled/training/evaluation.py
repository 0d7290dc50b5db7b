"""Mean losses over evaluation batches."""

from __future__ import annotations

import torch
from accelerate import Accelerator

from sled.model.lm import TrainingOutput

LOSS_PARTS = ("score_loss", "attraction", "repulsion", "alignment_loss", "stop_loss")


class EvaluationLosses:
    """Losses averaged over all frames and stop decisions of the batches that are added.

    Args:
        device: Device on which totals are reduced over processes.
    """

    def __init__(self, device: torch.device) -> None:
        # Sums of the loss parts, then wrong stop decisions, frames and stop decisions.
        self._totals = torch.zeros(len(LOSS_PARTS) + 3, device=device, dtype=torch.float64)

    def add(self, output: TrainingOutput, num_samples: int) -> None:
        """Add a batch.

        Args:
            output: Output of the model.
            num_samples: Samples in the batch.
        """
        frames, stops = output.num_frames, output.num_frames + num_samples
        weights = [stops if part == "stop_loss" else frames for part in LOSS_PARTS]
        losses = [float(getattr(output, part)) for part in LOSS_PARTS]
        sums = [loss * weight for loss, weight in zip(losses, weights, strict=True)]
        counts = [float(output.stop_errors), float(frames), float(stops)]
        self._totals += torch.tensor(sums + counts, device=self._totals.device)

    def metrics(self, accelerator: Accelerator) -> tuple[dict[str, float], int]:
        """Mean losses over all processes, and the number of samples."""
        *sums, wrong, frames, stops = accelerator.reduce(self._totals, "sum").tolist()
        metrics = {
            part: value / (stops if part == "stop_loss" else frames)
            for part, value in zip(LOSS_PARTS, sums, strict=True)
        }
        metrics |= {
            "loss": metrics["score_loss"] + metrics["stop_loss"],
            "stop_error": wrong / stops,
        }
        if not metrics["alignment_loss"]:  # not computed, or no times of words
            del metrics["alignment_loss"]
        return metrics, round(stops - frames)
