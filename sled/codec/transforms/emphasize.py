"""Emphasis: a basis of latents in which directions that distinguish sounds have more weight.

Most of the content of a latent is voice, loudness and noise, which the text does not determine. A
model trained on distances learns those first, and also hears them best in its own past. Where the
sound of each frame is known (`sled align`), this finds the directions in which the means of sounds
differ, and widens each by the share of its variance that lies between sounds (the ratio of linear
discriminant analysis: Fisher 1936, Rao 1948 for many classes). Unlike in that analysis nothing is
whitened: within a group of frames, whitening would give fast changes as much weight as slow ones.

Shapes: T frames, D latent width, R directions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import Self, override

from sled.codec.transforms.base import FitData, Transform


@dataclass(frozen=True, eq=False)
class Emphasize(Transform):
    """x -> scale (x - mean) (I + sum of gain d d'), over directions d.

    Attributes:
        mean: [D] float32.
        directions: [R, D] float32, orthonormal.
        gains: [R] float32, relative increase of their widths; at least 0.
        scale: [] float32, applied to everything.
    """

    kind: ClassVar[str] = "emphasize"

    mean: Tensor
    directions: Tensor
    gains: Tensor
    scale: Tensor

    @classmethod
    @override
    def fit(cls, data: FitData, *, strength: float = 2.0, cuts: int = 5_000) -> tuple[Self, str]:
        transform, (before, after) = cls.of(data.units_with_sounds(cuts), strength)
        note = f"{after:.0%} of the latents' variance lies between sounds, {before:.0%} before"
        return transform, note

    @classmethod
    def of(
        cls, clips: Iterable[tuple[Tensor, Tensor]], strength: float
    ) -> tuple[Self, tuple[float, float]]:
        """Widen directions by 1 + strength s, where s is the share of variance between sounds.

        The directions are the principal ones of the sounds' means; s, between 0 and 1, is the part
        of the variance along a direction that lies between these means. The scale gives latents
        variance 1 on average over the dimensions.

        Args:
            clips: Latents [T, D] and the number of each frame's sound [T], -1 where it is not
                known.
            strength: 0 emphasizes nothing.

        Returns:
            The emphasis, and the share of all variance between sounds before and after it.

        Raises:
            ValueError: If there are too few frames whose sound is known, or the strength is below
                0.
        """
        if strength < 0:
            raise ValueError(f"a strength of {strength:g} would weaken sounds: give at least 0")
        mean, total, between, num_sounds = _spread(clips)
        # The means of n sounds span at most n - 1 directions.
        directions = torch.linalg.eigh(between).eigenvectors.T.flip(0)[: num_sounds - 1]
        along = [((directions @ spread) * directions).sum(1) for spread in (between, total)]
        # Directions without any variance have no share; rounding would give them an arbitrary one.
        share = (along[0] / along[1].clamp_min(1e-9 * total.diagonal().mean())).clamp(0, 1)
        wide = torch.eye(len(mean)).double() + (directions.T * (strength * share)) @ directions
        after = [(wide @ spread @ wide).trace().item() for spread in (between, total)]
        emphasis = cls(
            mean.float(),
            directions.float(),
            (strength * share).float(),
            torch.tensor((len(mean) / after[1]) ** 0.5),
        )
        return emphasis, ((between.trace() / total.trace()).item(), after[0] / after[1])

    @override
    def width(self, below: int) -> int:
        if len(self.mean) != below:
            raise ValueError(
                f"the emphasis is of latents of {len(self.mean)}, the codec's have {below}: fit "
                "it again to this codec"
            )
        return below

    @override
    def forward(self, units: Tensor) -> Tensor:
        centred = units - self.mean
        along = centred @ self.directions.T * self.gains
        return self.scale * (centred + along @ self.directions)

    @override
    def inverse(self, units: Tensor) -> Tensor:
        centred = units / self.scale
        along = centred @ self.directions.T * (self.gains / (1 + self.gains))
        return centred - along @ self.directions + self.mean


def _spread(clips: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor, int]:
    """Mean [D], covariance [D, D] of all frames and of their sounds' means, number of sounds."""
    square = torch.zeros(())
    counts: dict[int, int] = {}
    sums: dict[int, Tensor] = {}
    for latents, sounds in clips:
        known = sounds >= 0
        exact, sounds = latents.detach().cpu().double()[known], sounds[known]
        square = square + exact.T @ exact
        for sound in sorted(set(sounds.tolist())):
            mine = exact[sounds == sound]
            counts[sound] = counts.get(sound, 0) + len(mine)
            sums[sound] = sums.get(sound, 0) + mine.sum(0)
    number = sum(counts.values())
    if len(counts) < 2 or number <= len(square):
        raise ValueError(
            f"{number} frames of {len(counts)} sounds are too few to estimate how sounds differ: "
            "give more, of a corpus that was aligned with `sled align`"
        )
    mean = torch.stack(list(sums.values())).sum(0) / number
    weights = torch.tensor(list(counts.values())).double() / number
    means = torch.stack([sums[sound] / counts[sound] for sound in counts]) - mean
    return mean, square / number - mean.outer(mean), (means.T * weights) @ means, len(counts)
