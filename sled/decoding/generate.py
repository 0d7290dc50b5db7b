"""Decoding a batch of whole texts to its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sled.decoding.decoder import Decoder, Step
from sled.decoding.interface import FrameModel
from sled.decoding.options import DecodingOptions
from sled.decoding.text_tracker import PlaceKeeper
from sled.decoding.utterance import Request, Utterance
from sled.model.layout import Layout


@dataclass(frozen=True, eq=False)
class Generated:
    """A finished utterance.

    Attributes:
        latents: [T, D] new frames, without prompt; with the frame of the stopping step last if
            `stopped`.
        stopped: True if the model said stop, False if it was cut at its limit.
    """

    latents: Tensor
    stopped: bool

    @property
    def speech(self) -> Tensor:
        """[T, D] the frames that are speech: the frame of the stopping step is not."""
        return self.latents[:-1] if self.stopped else self.latents


def generate(
    model: FrameModel,
    requests: Sequence[Request],
    generators: torch.Generator | Sequence[torch.Generator],
    options: DecodingOptions | None = None,
    layout: Layout | None = None,
    on_step: Callable[[Step], None] | None = None,
    place_keeper: PlaceKeeper | None = None,
) -> list[Generated]:
    """Speak a batch of whole texts.

    Args:
        model: In evaluation mode.
        requests: The B texts.
        generators: One `torch.Generator` for the call, which draws [B, N] a step as published, or
            one per text, which makes its speech independent of its company.
        options: How to draw and when to stop.
        layout: None: the checkpoint's own.
        on_step: Called after each step, for example to move a progress bar.
        place_keeper: Holds speech to the order of its text. None: frames stay as they are drawn.

    Returns:
        One result per request, in order.

    Raises:
        ValueError: For no requests, an empty text, one that is too long for the model's positions,
            or a wrong number of generators.
    """
    if not requests:
        raise ValueError("no text to speak: give at least one request")
    if isinstance(generators, torch.Generator):
        own: Sequence[torch.Generator | None] = [None] * len(requests)
    elif len(generators) == len(requests):
        own = generators
    else:
        raise ValueError(f"{len(generators)} generators for {len(requests)} texts: one for each")

    def draw_for_all(speaking: Sequence[Utterance]) -> Tensor:
        # Drawn for all texts, ended or not, so that the published runs are reproduced.
        assert isinstance(generators, torch.Generator)
        size = (len(requests), model.config.architecture.noise_channels)
        noise = torch.randn(size, generator=generators, device=generators.device)
        return noise[[number[utterance] for utterance in speaking]]

    decoder = Decoder(model, draw_for_all if own[0] is None else None, place_keeper)
    utterances = [
        decoder.join(request, generator, options, layout)
        for request, generator in zip(requests, own, strict=True)
    ]
    number = {utterance: index for index, utterance in enumerate(utterances)}
    frames: list[list[Tensor]] = [[] for _ in requests]
    stopped = [False] * len(requests)
    while decoder.utterances:
        step = decoder.step()
        if step is None:
            raise ValueError("a request's text has not ended: use a session for growing text")
        for utterance, latent, stops in zip(
            step.utterances, step.latents, step.stopped, strict=True
        ):
            frames[number[utterance]].append(latent)
            stopped[number[utterance]] = stops
        if on_step is not None:
            on_step(step)
    return [Generated(torch.stack(f), s) for f, s in zip(frames, stopped, strict=True)]
