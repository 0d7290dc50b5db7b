"""Whitening: a basis of latents in which all that carries speech counts alike.

In the latents of a small codec most of the variance lies in a few directions, loudness above all,
and what tells one word from another in directions a tenth as wide. A model that learns by distances
between latents learns the former and hardly sees the latter. Whitening (the ZCA form: Kessy, Lewin
and Strimmer 2018, "Optimal whitening and decorrelation") makes all directions equally wide; those
under a floor, which hold nothing but the codec's own rounding, are left narrow.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from sled.codec.mapped import LatentMap


def whitening(latents: Iterable[Tensor], floor: float) -> LatentMap:
    """The whitening of the latents that are given.

    With eigenvalues v of their covariance it scales by 1 / sqrt(v + (floor r)^2), r being their
    root mean square about the mean; then all of it so that the latents have variance 1 on average
    over the directions.

    Args:
        latents: Of clips, [T, D] each; many more frames than D in all.
        floor: Standard deviation, in units of r, under which a direction is left narrow; above 0.

    Raises:
        ValueError: If there are no more frames than D, or the floor is not above 0.
    """
    if floor <= 0:
        raise ValueError(f"a floor of {floor:g} would blow up rounding: give one above 0")
    count, total, square = 0, torch.zeros(()), torch.zeros(())
    for clip in latents:
        exact = clip.detach().cpu().double()
        count, total = count + len(exact), total + exact.sum(0)
        square = square + exact.T @ exact
    if total.ndim == 0 or count <= len(total):
        raise ValueError(f"{count} latents are too few to tell how they are spread: give more")
    mean = total / count
    variance, directions = torch.linalg.eigh(square / count - mean.outer(mean))
    variance = variance.clamp_min(0)
    scale = (variance + floor**2 * variance.mean()).rsqrt()
    scale = scale / (variance * scale**2).mean().sqrt()
    return LatentMap(mean.float(), ((directions * scale) @ directions.T).float())
