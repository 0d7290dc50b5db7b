"""Time of decoding a frame, for each part of the model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sled.decoding import Decoder, DecodingOptions, Request
from sled.model.eager_step import eager_step
from sled.model.interface import FrameModel, StepInputs
from sled.model.layout import Layout
from sled.training.callbacks.throughput import synchronize

# Names of the model's methods in a report.
PARTS = {
    "embed_units": "embeddings",
    "advance": "layers",
    "draw": "energy head",
    "stop_probability": "stop head",
}
REST = "decoder"
NEVER = 2.0  # a stop threshold that no probability reaches
TEXT = (0, 5, 6, 7, 2)


def endless(cfg: float, draws: int = 1, max_frames: int | None = None) -> DecodingOptions:
    """Return options with which no model stops before `max_frames`."""
    return DecodingOptions(
        cfg=cfg,
        draws=draws,
        stop_threshold=NEVER,
        length_tolerance=None,
        min_frames=max_frames or 0,
        max_frames=max_frames,
    )


class FrameWriter:
    """A batch of utterances in steady decoding.

    Args:
        model: A `FrameModel`.
        batch: Number of utterances.
        context: Number of positions that each has at the start.
        cfg: Guidance scale.
        draws: Number of draws that each frame is the mean of.
    """

    def __init__(self, model: Any, batch: int, context: int, cfg: float, draws: int = 1) -> None:
        self._model, self._batch, self._context = model, batch, context
        self._options = endless(cfg, draws)

    def begin(self) -> None:
        """Start a new decoder, and read the context."""
        self._decoder = Decoder(self._model)
        config = self._model.config
        prompt = 0.1 * torch.randn(
            max(0, self._context - len(TEXT)), config.architecture.vae_embed_dim
        )
        for seed in range(self._batch):
            generator = torch.Generator().manual_seed(seed)
            self._decoder.join(Request(TEXT, prompt), generator, self._options, Layout())
        self._decoder.read_ahead()

    def write_frame(self) -> None:
        """Generate the next frame of each utterance."""
        self._decoder.step()
        synchronize(self._model.device)


class TimedModel:
    """A `FrameModel` that measures the time of its parts.

    Args:
        model: Any `FrameModel`.

    Attributes:
        seconds: Total time of each part.
    """

    def __init__(self, model: FrameModel) -> None:
        self._model = model
        self.seconds = dict.fromkeys(PARTS.values(), 0.0)

    def step(self, inputs: StepInputs, cache: Any) -> tuple[Tensor, Tensor]:
        """An eager step, so that the parts are called one by one."""
        return eager_step(self, inputs, cache)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._model, name)
        return self._timed(attribute, PARTS[name]) if name in PARTS else attribute

    def _timed(self, method: Callable[..., Any], part: str) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            start = time.perf_counter()
            result = method(*args)
            synchronize(self._model.device)
            self.seconds[part] += time.perf_counter() - start
            return result

        return timed


def profile_frames(
    model: FrameModel, batch: int, context: int, cfg: float, count: int, draws: int = 1
) -> dict[str, float]:
    """Return the milliseconds per frame of each part of the model, and of the decoder itself."""
    timed = TimedModel(model)
    writer = FrameWriter(timed, batch, context, cfg, draws)
    writer.begin()
    writer.write_frame()
    timed.seconds = dict.fromkeys(timed.seconds, 0.0)
    start = time.perf_counter()
    for _ in range(count):
        writer.write_frame()
    total_s = time.perf_counter() - start
    parts = {part: 1e3 * seconds / count for part, seconds in timed.seconds.items()}
    return parts | {REST: 1e3 * total_s / count - sum(parts.values())}
