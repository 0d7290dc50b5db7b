"""A step with the parts of any model, for those that have no faster way of writing frames.

Shapes: U utterances, R rows, H hidden width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sled.decoding.interface import NONE, FrameModel, StepInputs
from sled.model.heads.draws import mean_draw


class PartByPart:
    """Writes frames with the parts of a model; see `sled.decoding.interface.WriteFrames`.

    Args:
        model: Computes.
        cache: Its rows' past.
    """

    def __init__(self, model: FrameModel, cache: Any) -> None:
        self._model, self._cache = model, cache
        self._arrangement: _Arrangement | None = None

    def __call__(self, inputs: StepInputs) -> tuple[Tensor, Tensor]:
        model, arrangement = self._model, self._arrangement
        if arrangement is None or not arrangement.fits(inputs):
            arrangement = self._arrangement = _Arrangement(inputs, model.device, model.dtype)
        embeddings = self._embed(inputs, arrangement)[:, None]
        counts = [1] * len(embeddings)
        hidden = model.advance(embeddings, arrangement.places, counts, self._cache)  # [R, H]
        with_text, text_free = hidden[arrangement.with_text], hidden[arrangement.text_free]
        guided = text_free + arrangement.cfg * (with_text - text_free)
        noise = arrangement.temperature * inputs.noise.to(model.device, model.dtype)
        latents = mean_draw(model.draw, guided, noise, arrangement.draws, arrangement.most_draws)
        return latents, model.stop_probability(with_text)

    def _embed(self, inputs: StepInputs, arrangement: _Arrangement) -> Tensor:
        """Input embeddings [R, H]."""
        model = self._model
        tokens = inputs.tokens[arrangement.owner, arrangement.second]
        reads_token = np.nonzero(tokens != NONE)[0]
        if len(reads_token) == len(tokens):
            return model.embed_text(torch.from_numpy(tokens).to(model.device))
        embeddings = model.embed_latents(inputs.frames[arrangement.frame])
        if len(reads_token):
            chosen = torch.from_numpy(tokens[reads_token]).to(model.device)
            place = torch.from_numpy(reads_token).to(model.device)
            embeddings[place] = model.embed_text(chosen)
        return embeddings


class _Arrangement:
    """The rows of a step in the order of the cache, which is often that of the step before.

    Attributes:
        places: R places in the cache, ascending.
        owner, second: [R] whose each row is, and whether it is the second one.
        frame: [R] `owner`, on the device.
        with_text, text_free: [U] where each utterance's states lie among the R. Without guidance
            an utterance is its own companion.
        cfg, temperature: [U, 1].
        draws, most_draws: [U] of how many draws each frame is the mean, and the largest of them.
    """

    def __init__(self, inputs: StepInputs, device: torch.device, dtype: torch.dtype) -> None:
        self._key = (inputs.rows, inputs.cfg)
        owner, second = np.nonzero(inputs.rows != NONE)
        order = np.argsort(inputs.rows[owner, second])
        self.owner, self.second = owner[order], second[order]
        self.places: list[int] = inputs.rows[self.owner, self.second].tolist()
        where = np.zeros_like(inputs.rows)
        where[self.owner, self.second] = np.arange(len(order))
        self.frame = torch.from_numpy(self.owner).to(device)
        self.with_text = torch.from_numpy(where[:, 0]).to(device)
        companion = np.where(inputs.guided, where[:, 1], where[:, 0])
        self.text_free = torch.from_numpy(companion).to(device)
        self.cfg = torch.from_numpy(inputs.cfg).to(device, dtype)[:, None]
        self.temperature = torch.from_numpy(inputs.temperature).to(device, dtype)[:, None]
        self.draws = torch.from_numpy(inputs.draws).to(device)
        self.most_draws = int(inputs.draws.max())

    def fits(self, inputs: StepInputs) -> bool:
        """Whether it is that of other inputs, too: they have the very same arrays."""
        return self._key[0] is inputs.rows and self._key[1] is inputs.cfg
