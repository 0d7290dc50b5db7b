"""Time of one draw of each head, with the sizes of a model and random weights."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import torch

from sled.benchmarks.report import Spread
from sled.benchmarks.timing import time_in_turns
from sled.model.config import Config
from sled.model.heads import HEADS

# The heads of latents, with the steps in which they draw.
DRAWN: dict[str, dict[str, Any]] = {
    "energy": {"head": "energy"},
    "flow, 1 step": {"head": "flow", "head_steps": 1},
    "flow, 8 steps": {"head": "flow", "head_steps": 8},
    "flow map, 1 step": {"head": "flow_map", "head_steps": 1},
    "Gaussian": {"head": "gaussian"},
}


@torch.inference_mode()
def time_heads(
    config: Config, device: torch.device, batch: int, draws: int, rounds: int
) -> dict[str, Spread]:
    """Time the heads in turns, each in plain float32.

    Args:
        config: Sizes; the head that they name is not read.
        device: Where to draw.
        batch: Frames that are drawn at once.
        draws: Draws of a round.
        rounds: Number of rounds.

    Returns:
        Milliseconds of a draw by the name of the head.
    """
    heads = {name: _drawer(config, settings, device, batch) for name, settings in DRAWN.items()}

    def draw_often(draw: Callable[[], object]) -> None:
        for _ in range(draws):
            draw()

    turns = {name: partial(draw_often, draw) for name, draw in heads.items()}
    seconds = time_in_turns(turns, rounds, device)
    return {
        name: Spread.of([1e3 * one / draws for one in measured])
        for name, measured in seconds.items()
    }


def _drawer(
    config: Config, settings: dict[str, Any], device: torch.device, batch: int
) -> Callable[[], object]:
    """A function that draws with a new head."""
    architecture = deepcopy(config.architecture)
    for name, value in settings.items():
        setattr(architecture, name, value)
    head = HEADS[architecture.head](architecture, config.objective).to(device).eval()
    hidden = torch.randn(batch, architecture.hidden_size, device=device)
    noise = torch.randn(batch, head.noise_width, device=device)
    return partial(head.draw, hidden, noise)
