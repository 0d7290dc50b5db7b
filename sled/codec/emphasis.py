"""Emphasis: a basis of latents in which what tells sounds apart weighs more than the rest.

Most of what is in a latent is voice, loudness and grain, which no text foretells. A model that
learns by distances learns those first, and from its own past hears them best. Where it is known
which sound each frame belongs to (`scripts/align.py`), the directions in which the means of sounds
differ are found, and widened by how much of the variance along them is due to that (the ratio of
linear discriminant analysis: Fisher 1936, Rao 1948 for many classes). Other than in that analysis
nothing is whitened: within a group of frames what changes fast would then weigh as much as what
lasts.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from sled.codec.mapped import LatentMap


def emphasis(
    clips: Iterable[tuple[Tensor, Tensor]], strength: float
) -> tuple[LatentMap, tuple[float, float]]:
    """The map that widens directions by 1 + strength s, where s is the sounds' share of them.

    Directions are the principal ones of the sounds' means; s, between 0 and 1, is the part of the
    variance along a direction that lies between these means. Mapped latents have variance 1 on
    average over the directions.

    Args:
        clips: Latents [T, D] and the number of each frame's sound [T], -1 where it is not known.
        strength: 0 emphasises nothing.

    Returns:
        The map, and the sounds' share of all variance before and after it.

    Raises:
        ValueError: If there are too few frames whose sound is known, or the strength is below 0.
    """
    if strength < 0:
        raise ValueError(f"a strength of {strength:g} would hide what is said: give at least 0")
    mean, total, between = _spread(clips)
    directions = torch.linalg.eigh(between).eigenvectors
    along = [((directions.T @ spread) * directions.T).sum(1) for spread in (between, total)]
    # Directions that hold nothing at all have no share; rounding would give them any.
    share = (along[0] / along[1].clamp_min(1e-9 * total.diagonal().mean())).clamp(0, 1)
    matrix = (directions * (1 + strength * share)) @ directions.T
    after = [(matrix @ spread @ matrix).trace().item() for spread in (between, total)]
    matrix = matrix / (after[1] / len(mean)) ** 0.5
    shares = (between.trace() / total.trace()).item(), after[0] / after[1]
    return LatentMap(mean.float(), matrix.float()), shares


def _spread(clips: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [D], and covariance [D, D] of all frames and of their sounds' means."""
    square = torch.zeros(())
    counts: dict[int, int] = {}
    sums: dict[int, Tensor] = {}
    for latents, sounds in clips:
        known = sounds >= 0
        exact, sounds = latents.detach().cpu().double()[known], sounds[known]
        square = square + exact.T @ exact
        for sound in sounds.unique().tolist():
            mine = exact[sounds == sound]
            counts[sound] = counts.get(sound, 0) + len(mine)
            sums[sound] = sums.get(sound, 0) + mine.sum(0)
    number = sum(counts.values())
    if len(counts) < 2 or number <= len(square):
        raise ValueError(
            f"{number} frames of {len(counts)} sounds are too few to tell how sounds differ: "
            "give more, of a corpus that scripts/align.py has aligned"
        )
    mean = torch.stack(list(sums.values())).sum(0) / number
    weights = torch.tensor(list(counts.values())).double() / number
    means = torch.stack([sums[sound] / counts[sound] for sound in counts]) - mean
    return mean, square / number - mean.outer(mean), (means.T * weights) @ means
