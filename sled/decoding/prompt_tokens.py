"""Finds which token of its transcript each unit of a recorded prompt says.

A model with a token channel hears in its past where in the text it is, but the channel of a
recording is empty. The model itself can fill it: it predicts the channel of each unit from the true
units before, as training includes such beginnings.

Shapes: T units, L tokens, E width of the channel.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sled.decoding.decoder import Decoder
from sled.decoding.options import DecodingOptions
from sled.decoding.text_tracker import Channel, TextTracker
from sled.decoding.utterance import Request, Utterance
from sled.model.interface import FrameModel
from sled.model.layout import Layout


class _Dictation(TextTracker):
    """Makes an utterance write given units, and notes the channels that the model would draw."""

    def __init__(self, channel: Channel, model: FrameModel, units: Tensor) -> None:
        super().__init__(channel, model.config)
        self._units, self._drawn = units, list[np.ndarray]()

    def follow(
        self,
        utterances: Sequence[Utterance],
        units: Tensor,
        stopped: np.ndarray,
        may_stop: np.ndarray,
    ) -> tuple[Tensor, np.ndarray]:
        self._drawn.append(units[0, -self.width :].float().cpu().numpy())
        given = self._units[len(self._drawn) - 1].to(units)
        return given[None], np.array([len(self._drawn) == len(self._units)])

    @property
    def channels(self) -> np.ndarray:
        """The channels [T, E] that the model would have drawn."""
        return np.stack(self._drawn)


@torch.inference_mode()
def prompt_tokens(
    model: FrameModel, channel: Channel, request: Request
) -> Generator[None, None, tuple[int, ...]]:
    """Find the token that each unit of a prompt says.

    Args:
        model: Reads the prompt.
        channel: The units' token channel.
        request: The prompt, with an empty channel, and its text with `</s>`.

    Yields:
        Between two passes of the model.

    Returns:
        For each unit the token's number counted backwards from the end of the text: 0 is the
        silence behind it, 1 its last token.
    """
    assert request.prompt is not None
    dictation = _Dictation(channel, model, request.prompt)
    decoder = Decoder(model, text_tracker=dictation)
    options = replace(DecodingOptions.of_model(model.config), cfg=1.0, length_tolerance=None)
    generator = torch.Generator().manual_seed(0)
    decoder.join(replace(request, prompt=None, prompt_tokens=0), generator, options, Layout())
    while decoder.utterances:
        decoder.step()
        yield
    path = dictation.likeliest(dictation.channels, request.token_ids)
    last = len(request.token_ids) - 1
    return tuple(last - token for token in path.tolist())
