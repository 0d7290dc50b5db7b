"""The interface of a head: the part of a model that draws the unit of the next frame.

Shapes: F frames, M draws of a frame, H hidden width, N noise width, S scored ids; `...` is any
leading dimensions, `*unit` the shape of a unit, [D] for a latent vector and [] for an id.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from sled.model.config import Architecture, Objective
from sled.model.heads.scores import Score
from sled.model.ids import SpeechIds


class Head(nn.Module, ABC):
    """Draws units from hidden states, and scores hidden states by true units in training.

    Args:
        architecture: Sizes of the model.
        objective: The training objective.

    Attributes:
        averages: Whether the mean of several draws is a unit.
        unit_dtype: The type of units. None: the type of the model's weights.
        unit_shape: The shape of a unit.
        noise_width: N, the number of standard normal values that a draw takes.
        ids: The ids that the units are. None: units are vectors.
    """

    averages: ClassVar[bool]
    unit_dtype: ClassVar[torch.dtype | None]
    unit_shape: tuple[int, ...]
    noise_width: int
    ids: SpeechIds | None = None

    def __init__(self, architecture: Architecture, objective: Objective) -> None:
        super().__init__()
        self.architecture, self.objective = architecture, objective
        self.unit_shape = self.unit_shape_of(architecture)

    @classmethod
    @abstractmethod
    def unit_shape_of(cls, architecture: Architecture) -> tuple[int, ...]:
        """Return the shape of the units of a model with this head."""

    @classmethod
    @abstractmethod
    def input_layer(cls, architecture: Architecture) -> nn.Module:
        """Make the layer that turns units [..., *unit] into inputs [..., H] of the model."""

    def score_ids(self, hidden: Tensor) -> Tensor:
        """Return unnormalised log-probabilities [..., S] of ids after hidden states [..., H].

        Raises:
            TypeError: If units are vectors.
        """
        raise TypeError(f"the units of {type(self).__name__} are no ids")

    @abstractmethod
    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        """Draw units [..., *unit] for hidden states [..., H] from normal noise [..., N]."""

    @abstractmethod
    def draw_noise(
        self, num_frames: int, device: torch.device, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw the noise [M, F, N] that `score` takes."""

    @abstractmethod
    def score(self, hidden: Tensor, target: Tensor, noise: Tensor) -> Score:
        """Score hidden states by the true units. Lower is better.

        Args:
            hidden: [F, H] hidden states that predict the frames.
            target: [F, *unit] true units.
            noise: [M, F, N] from `draw_noise`.
        """
