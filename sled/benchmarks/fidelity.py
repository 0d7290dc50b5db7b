"""Difference between the frames of a fast form and of the plain form, with the same noise.

Shapes: T frames, U utterances of a step, D latent width, H hidden width, N noise width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sled.decoding import DecodingOptions, Request, generate
from sled.model.eager_step import eager_step
from sled.model.interface import FrameModel, StepInputs
from sled.model.layout import Layout


@dataclass(frozen=True)
class Fidelity:
    """Errors as ||fast - plain|| / ||plain|| over all frames.

    Attributes:
        forced: Error if both read the frames of the plain form: that of a single step.
        free: Error if each reads its own frames, so errors can accumulate.
    """

    forced: float
    free: float


@torch.inference_mode()
def measure_fidelity(
    plain: FrameModel,
    fast: FrameModel,
    requests: Sequence[Request],
    *,
    num_frames: int,
    cfg: float = 2.0,
    layout: Layout | None = None,
) -> Fidelity:
    """Let both models say the same texts.

    Args:
        plain: The reference, in float32.
        fast: Another form of the same model.
        requests: What to say. The index of a request is its seed.
        num_frames: Number of frames of each text; no utterance stops earlier.
        cfg: Guidance scale.
        layout: The layout. None: the checkpoint's own.
    """
    truth = [_say(plain, one, seed, num_frames, cfg, layout) for seed, one in enumerate(requests)]
    free = [_say(fast, one, seed, num_frames, cfg, layout) for seed, one in enumerate(requests)]
    forced = []
    for seed, one in enumerate(requests):
        prompter = Prompter(fast, truth[seed])
        _say(prompter, one, seed, num_frames, cfg, layout)
        forced.append(torch.cat(prompter.drawn))
    expected = torch.cat(truth)
    return Fidelity(*(_relative_error(torch.cat(one), expected) for one in (forced, free)))


class Prompter:
    """A model whose frames are replaced by given ones before it reads them.

    Args:
        model: Any `FrameModel`; one utterance at a time.
        frames: [T, D] to be read.

    Attributes:
        drawn: [1, D] what the model itself would have said each time.
    """

    def __init__(self, model: FrameModel, frames: Tensor) -> None:
        self._model, self._frames = model, frames
        self.drawn: list[Tensor] = []

    def step(self, inputs: StepInputs, cache: Any) -> tuple[Tensor, Tensor]:
        """An eager step, which calls `draw`."""
        return eager_step(self, inputs, cache)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        """See `FrameModel`."""
        self.drawn.append(self._model.draw(hidden, noise).float())
        return self._frames[len(self.drawn) - 1][None].to(self._model.dtype)


def _say(
    model: Any, request: Request, seed: int, num_frames: int, cfg: float, layout: Layout | None
) -> Tensor:
    options = DecodingOptions(
        cfg=cfg,
        stop_threshold=2.0,  # which no probability reaches
        min_frames=num_frames,
        max_frames=num_frames,
        length_tolerance=None,
    )
    generator = torch.Generator().manual_seed(seed)
    return generate(model, [request], [generator], options, layout)[0].units.float()


def _relative_error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())
