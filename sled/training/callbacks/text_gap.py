"""How much a model uses its text: the rise of the score loss with half of each text replaced.

The first half of each text is kept, because a model learns the first word long before it reads on.
The gap starts at 0 and must grow before speech has the right words. Until then, noise on the
history must stay strong: a model that can rely on its history continues the history instead of
reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from torch.nn.utils.rnn import pad_sequence

from sled.data.dataset import length_mask
from sled.model.batch import TrainingOutput
from sled.text.tokenizer import PAD_ID
from sled.training.agreement import sum_over_processes

# Samples are grouped by duration at these borders, because long texts are learned last.
BORDERS_S = (3.0, 6.0)
_NAMES = (*(f"text_gap_to_{border:g}s" for border in BORDERS_S), "text_gap_longer")


def with_other_endings(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the second half of each text by that of the next text, in a batch of two or more."""
    lengths = batch["attention_mask"].sum(1).tolist()
    texts = [ids[:length] for ids, length in zip(batch["input_ids"], lengths, strict=True)]
    halves = [(length + 1) // 2 for length in lengths]
    endings = [text[half:] for text, half in zip(texts, halves, strict=True)]
    mixed = [
        torch.cat((text[:half], ending))
        for text, half, ending in zip(texts, halves, endings[1:] + endings[:1], strict=True)
    ]
    mask = length_mask(torch.tensor([len(text) for text in mixed]))
    return {
        **batch,
        "input_ids": pad_sequence(mixed, True, padding_value=PAD_ID),
        "attention_mask": mask.to(batch["attention_mask"].device),
    }


class TextGap:
    """Rise of the score loss when texts have the endings of others, averaged over frames."""

    def __init__(self) -> None:
        self._rises = torch.zeros(len(_NAMES), dtype=torch.float64)
        self._frames = torch.zeros_like(self._rises)

    def add(self, other: TrainingOutput, own: TrainingOutput, longest_s: float) -> None:
        """Add a batch.

        Args:
            other: Output of the model for the batch with exchanged endings.
            own: Output of the model for the batch itself.
            longest_s: Duration of its longest sample.
        """
        kind = sum(longest_s > border for border in BORDERS_S)
        self._rises[kind] += float(other.score_loss - own.score_loss) * own.num_learned
        self._frames[kind] += own.num_learned

    def metrics(self, accelerator: Accelerator) -> dict[str, float]:
        """`text_gap` over all frames, and over samples up to 3 s, up to 6 s and longer."""
        rises = sum_over_processes(self._rises, accelerator).tolist()
        frames = sum_over_processes(self._frames, accelerator).tolist()
        gaps = {"text_gap": sum(rises) / sum(frames)} if any(frames) else {}
        by_length = zip(_NAMES, rises, frames, strict=True)
        return gaps | {name: rise / count for name, rise, count in by_length if count}
