"""Decodes a batch of whole texts to the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sled.decoding.attention_tracker import Tracker
from sled.decoding.decoder import Decoder
from sled.decoding.options import DecodingOptions
from sled.decoding.step import Step
from sled.decoding.utterance import Request, Utterance
from sled.model.interface import FrameModel
from sled.model.layout import Layout


@dataclass(frozen=True, eq=False)
class Generated:
    """A finished utterance.

    Attributes:
        units: [T, ...] units of the new frames, without the prompt; if `stopped`, that of the
            stopping step is the last.
        stopped: True if the model stopped, False if the utterance was cut.
        tokens: Of each frame of `speech`, the number of the token in the text that it says. Empty
            if that was not tracked.
    """

    units: Tensor
    stopped: bool
    tokens: Sequence[int] = ()

    @property
    def speech(self) -> Tensor:
        """The units [T, ...] that are speech; that of the stopping step is not."""
        return self.units[:-1] if self.stopped else self.units


def generate(
    model: FrameModel,
    requests: Sequence[Request],
    generators: torch.Generator | Sequence[torch.Generator],
    options: DecodingOptions | None = None,
    layout: Layout | None = None,
    on_step: Callable[[Step], None] | None = None,
    text_tracker: Tracker | None = None,
) -> list[Generated]:
    """Decode a batch of whole texts.

    Args:
        model: In evaluation mode.
        requests: The B texts.
        generators: One `torch.Generator` for the call, which draws [B, N] per step as published, or
            one per text, so that each text's speech does not depend on the others.
        options: How to draw and when to stop.
        layout: None: the checkpoint's own.
        on_step: Called after each step, for example to update a progress bar.
        text_tracker: Tells which token is being said, and may keep speech in the order of its text.
            None: units stay as drawn.

    Returns:
        One result per request, in order.

    Raises:
        ValueError: For no requests, a text that is empty or too long for the model's positions,
            or a wrong number of generators.
    """
    if not requests:
        raise ValueError("no text to speak: give at least one request")
    draws_noise = isinstance(generators, torch.Generator) and model.ids is None
    own: Sequence[torch.Generator | None]
    if isinstance(generators, torch.Generator):
        own = [None if draws_noise else generators] * len(requests)
    elif len(generators) == len(requests):
        own = generators
    else:
        raise ValueError(f"{len(generators)} generators for {len(requests)} texts: one for each")

    def draw_for_all(speaking: Sequence[Utterance]) -> Tensor:
        # Drawn for all texts, ended or not, as the published code does.
        assert isinstance(generators, torch.Generator)
        size = (len(requests), model.noise_width)
        noise = torch.randn(size, generator=generators, device=generators.device)
        return noise[[number[utterance] for utterance in speaking]]

    decoder = Decoder(model, draw_for_all if draws_noise else None, text_tracker)
    utterances = [
        decoder.join(request, generator, options, layout)
        for request, generator in zip(requests, own, strict=True)
    ]
    number = {utterance: index for index, utterance in enumerate(utterances)}
    units: list[list[Tensor]] = [[] for _ in requests]
    tokens: list[list[int]] = [[] for _ in requests]
    stopped = [False] * len(requests)
    while decoder.utterances:
        step = decoder.step()
        if step is None:
            raise ValueError("a request's text has not ended: use a session for growing text")
        for utterance, unit, stops in zip(step.utterances, step.units, step.stopped, strict=True):
            units[number[utterance]].append(unit)
            stopped[number[utterance]] = stops
            if utterance.text_position is not None and not stops:
                tokens[number[utterance]].append(utterance.text_position.best)
        if on_step is not None:
            on_step(step)
    return [
        Generated(torch.stack(drawn), stops, said)
        for drawn, stops, said in zip(units, stopped, tokens, strict=True)
    ]
