"""Mean losses over evaluation batches."""

from __future__ import annotations

import torch
from accelerate import Accelerator

from sled.model.batch import TrainingOutput
from sled.training.agreement import sum_over_processes

LOSS_PARTS = (
    "score_loss",
    "attraction",
    "repulsion",
    "alignment_loss",
    "recognition_loss",
    "stop_loss",
)


class EvaluationLosses:
    """Losses averaged over all frames and stop decisions of the batches that are added."""

    def __init__(self) -> None:
        # Sums of the loss parts, their counts, wrong stop decisions, and samples.
        self._totals = torch.zeros(2 * len(LOSS_PARTS) + 2, dtype=torch.float64)

    def add(self, output: TrainingOutput, num_samples: int) -> None:
        """Add a batch.

        Args:
            output: Output of the model.
            num_samples: Samples in the batch.
        """
        counts = count_terms(output.num_learned, output.num_frames, num_samples)
        sums = [float(getattr(output, part)) * count for part, count in counts.items()]
        others = [float(output.stop_errors), float(num_samples)]
        totals = [*sums, *map(float, counts.values()), *others]
        self._totals += torch.tensor(totals, dtype=torch.float64)

    def metrics(self, accelerator: Accelerator) -> tuple[dict[str, float], int]:
        """Mean losses over all processes, and the number of samples."""
        *parts, wrong, samples = sum_over_processes(self._totals, accelerator).tolist()
        size = len(LOSS_PARTS)
        counts = dict(zip(LOSS_PARTS, parts[size:], strict=True))
        metrics = {
            part: total / max(1.0, counts[part])
            for part, total in zip(LOSS_PARTS, parts[:size], strict=True)
        }
        metrics |= {
            "loss": metrics["score_loss"] + metrics["stop_loss"],
            "stop_error": wrong / counts["stop_loss"],
        }
        for part in ("alignment_loss", "recognition_loss"):
            if not metrics[part]:  # not computed, or no times of words
                del metrics[part]
        return metrics, round(samples)


def count_terms(num_learned: int, num_frames: int, num_samples: int) -> dict[str, int]:
    """Number of terms that each of `LOSS_PARTS` is the mean of.

    Args:
        num_learned: Learned frames of a batch.
        num_frames: All its frames.
        num_samples: Its samples.
    """
    counts = dict.fromkeys(LOSS_PARTS, num_learned)
    counts["alignment_loss"] = num_frames
    counts["stop_loss"] = num_frames + num_samples
    return counts
