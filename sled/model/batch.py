"""What a pass of training reads and returns.

Shapes: B samples, L text tokens, T frames, F frames and P positions of a whole batch without
padding, H hidden width; `*unit` is the shape of a unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sled.model.layout import Layout


@dataclass(frozen=True)
class SpeechBatch:
    """What the model reads of a right-padded batch.

    Attributes:
        input_ids: [B, L] text tokens, `<s>` first and `</s>` last.
        attention_mask: [B, L] 1 at real tokens.
        units: [B, T, *unit] units.
        frame_mask: [B, T] 1 at real frames.
        layout: How text and speech interleave.
        conditions: A tensor [B, width] for each of the model's conditions.
        num_given: [B] number of frames at the start of each sample that are only read, like a
            prompt: they are neither learned nor corrupted. None: none.
    """

    input_ids: Tensor
    attention_mask: Tensor
    units: Tensor
    frame_mask: Tensor
    layout: Layout
    conditions: Mapping[str, Tensor]
    num_given: Tensor | None = None

    @property
    def learned(self) -> Tensor:
        """[B, T] bool: the real frames that are learned."""
        real = self.frame_mask.bool()
        if self.num_given is None:
            return real
        frames = torch.arange(real.shape[1], device=real.device)
        return real & (frames >= self.num_given[:, None])


class TrainingOutput(NamedTuple):
    """What a training forward pass returns; every loss is a scalar.

    Attributes:
        loss: `score_loss + stop_loss`.
        score_loss: The head's score, averaged over learned frames.
        stop_loss: Binary cross-entropy of stopping, averaged over real frames and stop positions.
        attraction: First half of the score.
        repulsion: Second half of the score.
        alignment_loss: Loss of guided attention, averaged over real frames; 0 without `spoken`.
        recognition_loss: What `listener` returns; 0 without one.
        hidden_states: [P, H] after the final norm, sample by sample.
        lengths: B numbers of positions of the samples, P in all.
        num_frames: Number of real frames F; the number of stop decisions is F + B.
        num_learned: Number of learned frames: all, if no sample has frames that are only read.
        stop_errors: Number of wrong stop decisions at probability 0.5.
    """

    loss: Tensor
    score_loss: Tensor
    stop_loss: Tensor
    attraction: Tensor
    repulsion: Tensor
    alignment_loss: Tensor
    recognition_loss: Tensor
    hidden_states: Tensor
    lengths: list[int]
    num_frames: int
    num_learned: int
    stop_errors: Tensor
