"""The token head: scores the ids of the next frame with a linear layer.

Shapes: H hidden width, V ids; any leading dimensions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from sled.model.config import Architecture, Objective
from sled.model.heads.base import Head
from sled.model.heads.scores import Score
from sled.model.ids import SpeechIds


class TokenHead(Head):
    """Learns the ids by cross-entropy. In decoding, `sled.model.sampling` draws from its scores."""

    averages = False
    unit_dtype = torch.long
    noise_width = 1

    def __init__(self, architecture: Architecture, objective: Objective) -> None:
        super().__init__(architecture, objective)
        self.scores = nn.Linear(architecture.hidden_size, architecture.vae_embed_dim)
        self.ids = SpeechIds(architecture.vae_embed_dim, architecture.vae_embed_dim)

    @override
    @classmethod
    def unit_shape_of(cls, architecture: Architecture) -> tuple[int, ...]:
        return ()

    @override
    @classmethod
    def input_layer(cls, architecture: Architecture) -> nn.Module:
        return nn.Embedding(architecture.vae_embed_dim, architecture.hidden_size)

    @override
    def score_ids(self, hidden: Tensor) -> Tensor:
        scores: Tensor = self.scores(hidden)
        return scores

    @override
    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        # For scheduled sampling in training. The normal distribution function makes of the noise a
        # uniform number.
        uniform = torch.special.ndtr(noise.float())
        upper = self.scores(hidden).float().softmax(-1).cumsum(-1)
        return torch.searchsorted(upper, uniform).squeeze(-1).clamp(max=upper.shape[-1] - 1)

    @override
    def draw_noise(
        self, num_frames: int, device: torch.device, generator: torch.Generator | None = None
    ) -> Tensor:
        return torch.zeros(1, num_frames, 1, device=device)  # cross-entropy needs none

    @override
    def score(self, hidden: Tensor, target: Tensor, noise: Tensor) -> Score:
        surprise = F.cross_entropy(self.scores(hidden).float(), target, reduction="none")
        return Score(surprise, torch.zeros_like(surprise))
