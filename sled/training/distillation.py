"""Distillation of guidance into a single pass, which halves the work per frame.

Under guidance a frame is drawn from u + c (h - u), where h is the hidden state of the model with
the text and u without it (Ho and Salimans 2022, eq. 6). The head is the same for every c, so the
student only learns this state: its own state with the text is fitted to it by least squares (as
Meng et al. 2023 do for diffusion models). At cfg 1 it then speaks like its teacher at cfg c. A
short training suffices.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from sled.model.batch import SpeechBatch
from sled.model.lm import SpeechLM
from sled.training.objectives import drop_text


class GuidedTeacher:
    """Computes the states of a model under guidance.

    Args:
        model: The model; it is copied.
        cfg: Guidance scale c.
    """

    def __init__(self, model: SpeechLM, cfg: float) -> None:
        self._model, self._cfg = deepcopy(model).eval().requires_grad_(False), cfg

    def to(self, device: torch.device) -> None:
        """Move the copy of the model to a device."""
        self._model.to(device)

    @torch.no_grad()
    def states(self, batch: SpeechBatch) -> Tensor:
        """Guided states [F + B, H] of a batch."""
        return guided_states(self._model, batch, self._cfg)


def guided_states(model: SpeechLM, batch: SpeechBatch, cfg: float) -> Tensor:
    """States [F + B, H] of a batch under guidance."""
    with_text, _ = model.predict(batch)
    if cfg == 1:
        return with_text
    ids = batch.input_ids
    everything = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
    no_text = drop_text(batch, everything, model.config.architecture.eos_token_id)
    text_free, _ = model.predict(no_text)
    return text_free + cfg * (with_text - text_free)


def make_student(model: SpeechLM, cfg: float) -> None:
    """Set a model up for distillation.

    Texts are not dropped, the history has no noise and no own frames, and the head is frozen.
    """
    model.config.objective.training_cfg = model.config.objective.history_noise = 0.0
    model.config.objective.scheduled_sampling = 0.0
    model.config.speaking.distilled_cfg = cfg
    model.scoreloss.requires_grad_(False)
