"""Guidance distilled into one pass: half of the work of a frame, for a short training.

Under guidance a frame is drawn from u + c (h - u): h is the model's state with the text, u without
it (Ho and Salimans 2022, eq. 6). The head is the same whatever c is, so all there is to learn is
that state: a student that reads the text only is brought to it by least squares (as Meng et al.
2023 do for diffusion models), and then speaks at cfg 1 as its teacher does at cfg c.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from sled.model.layout import Layout
from sled.model.lm import SpeechLlamaForCausalLM


class GuidedTeacher:
    """The states of a model under guidance.

    Args:
        model: Is copied as it is.
        cfg: Guidance scale c.
    """

    def __init__(self, model: SpeechLlamaForCausalLM, cfg: float) -> None:
        self._model, self._cfg = deepcopy(model).eval().requires_grad_(False), cfg

    @torch.no_grad()
    def states(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        latents: Tensor,
        latent_mask: Tensor,
        layout: Layout | None,
    ) -> Tensor:
        """Guided states [F + B, H] of a batch, as `SpeechLlamaForCausalLM.forward` takes it."""
        return guided_states(
            self._model, input_ids, attention_mask, latents, latent_mask, layout, self._cfg
        )


def guided_states(
    model: SpeechLlamaForCausalLM,
    input_ids: Tensor,
    attention_mask: Tensor,
    history: Tensor,
    latent_mask: Tensor,
    layout: Layout | None,
    cfg: float,
) -> Tensor:
    """States [F + B, H] under guidance, of a batch as `SpeechLlamaForCausalLM.forward` takes it."""
    with_text = model.predict(input_ids, attention_mask, history, latent_mask, layout)
    if cfg == 1:
        return with_text
    everything = torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
    no_text = model.drop_text(input_ids, attention_mask, everything)
    text_free = model.predict(*no_text, history, latent_mask, layout)
    return text_free + cfg * (with_text - text_free)


def make_student(model: SpeechLlamaForCausalLM, cfg: float) -> None:
    """Set a model up to learn what guidance does.

    It reads every text, and a history without noise or frames of its own; the head stays as it is.
    """
    model.config.objective.training_cfg = model.config.objective.history_noise = 0.0
    model.config.objective.scheduled_sampling = 0.0
    model.config.speaking.distilled_cfg = cfg
    model.scoreloss.requires_grad_(False)
