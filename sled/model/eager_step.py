"""One decoding step from the parts of a model: embed, advance, guide, draw.

This is the default `FrameModel.step`. Forms of the model with a faster step have their own.

Shapes: B utterances, R rows, H hidden width; see `sled.model.interface`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sled.model.heads.draws import mean_draw
from sled.model.interface import NONE, FrameModel, RowOrder, StepInputs
from sled.model.sampling import draw_ids, keep_probability


def eager_step(model: FrameModel, inputs: StepInputs, cache: Any) -> tuple[Tensor, Tensor]:
    """See `FrameModel.step`."""
    batch, order = inputs.batch, inputs.batch.row_order
    device, dtype = model.device, model.dtype

    def column(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(device, dtype)[:, None]

    embeddings = _embed(model, inputs, order)[:, None]
    hidden = model.advance(embeddings, order.rows, [1] * len(order.rows), cache)  # [R, H]
    with_text = hidden[torch.from_numpy(order.with_text).to(device)]
    text_free = hidden[torch.from_numpy(order.text_free).to(device)]
    guided = text_free + column(batch.cfg) * (with_text - text_free)
    stop_probability = model.stop_probability(with_text)
    if inputs.draws is not None:
        scores = _guided_scores(model, guided, with_text, column(batch.cfg) != 1)
        return draw_ids(scores, batch.temperature.tolist(), inputs.draws), stop_probability
    noise = column(batch.temperature) * inputs.noise.to(device, dtype)
    draws = torch.from_numpy(batch.draws).to(device)
    units = mean_draw(model.draw, guided, noise, draws, int(batch.draws.max()))
    return units, stop_probability


def _guided_scores(
    model: FrameModel, guided: Tensor, with_text: Tensor, is_guided: Tensor
) -> Tensor:
    """Scores [B, S] of ids.

    Whether a chunk ends is not guided: the row without text has no chunks.
    """
    scores = model.score_ids(guided)
    if model.ids is None or model.ids.fill is None or not is_guided.any():
        return scores
    plain = model.score_ids(with_text)
    return keep_probability(scores, plain, model.ids.fill).where(is_guided, scores)


def _embed(model: FrameModel, inputs: StepInputs, order: RowOrder) -> Tensor:
    """Input embeddings [R, H]."""
    tokens = inputs.tokens[order.utterance, order.column]
    reads_token = np.nonzero(tokens != NONE)[0]
    if len(reads_token) == len(tokens):
        return model.embed_text(torch.from_numpy(tokens).to(model.device))
    owner = torch.from_numpy(order.utterance).to(model.device)
    embeddings = model.embed_units(inputs.units[owner])
    if len(reads_token):
        chosen = torch.from_numpy(tokens[reads_token]).to(model.device)
        index = torch.from_numpy(reads_token).to(model.device)
        embeddings[index] = model.embed_text(chosen)
    return embeddings
