"""Scores of draws by the true frame: what a head that draws in one pass learns from."""

from __future__ import annotations

from torch import Tensor

from sled.model.config import Objective
from sled.model.heads.scores.base import Score, without_repulsion
from sled.model.heads.scores.drifting import drifting_score
from sled.model.heads.scores.energy import attraction_only, energy_score
from sled.model.heads.scores.mmd import gaussian_mmd, laplacian_mmd

__all__ = [
    "Score",
    "attraction_only",
    "drifting_score",
    "energy_score",
    "gaussian_mmd",
    "laplacian_mmd",
    "score_samples",
    "without_repulsion",
]


def score_samples(samples: Tensor, target: Tensor, objective: Objective) -> Score:
    """Score draws as a training objective says.

    Args:
        samples: [M, F, D] independent draws, M >= 2.
        target: [F, D] true latents.
        objective: Names the score, and its settings.
    """
    kernels = {
        "gaussian_mmd": gaussian_mmd,
        "laplacian_mmd": laplacian_mmd,
        "drifting": drifting_score,
    }
    if objective.score in kernels:
        return kernels[objective.score](samples, target, objective.score_bandwidths)
    rule = attraction_only if objective.score == "attraction" else energy_score
    return rule(samples, target, objective.score_beta)
