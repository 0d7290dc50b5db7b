"""Whitening: a basis of latents in which all directions that carry speech have the same variance.

In the latents of a small codec most of the variance lies in a few directions, loudness above all,
and the directions that distinguish one word from another are a tenth as wide. A model trained on
distances between latents learns the former first and barely learns the latter. Whitening (the ZCA
form: Kessy, Lewin and Strimmer 2018, "Optimal whitening and decorrelation") gives all directions
the same width. Directions below a floor, which hold only the codec's rounding, are left narrow.
The map is linear and is undone before decoding, so codes and their audio do not change.

Shapes: T frames, D latent width.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import Self, override

from sled.codec.transforms.base import FitData, Transform


@dataclass(frozen=True, eq=False)
class Whiten(Transform):
    """x -> (x - mean) @ matrix.

    Attributes:
        mean: [D] float32.
        matrix: [D, D] float32, symmetric and positive definite.
    """

    kind: ClassVar[str] = "whiten"

    mean: Tensor
    matrix: Tensor

    @classmethod
    @override
    def fit(cls, data: FitData, *, floor: float = 0.6, cuts: int = 10_000) -> tuple[Self, str]:
        return cls.of(data.units(cuts), floor), "latents whitened"

    @classmethod
    def of(cls, latents: Iterable[Tensor], floor: float) -> Self:
        """The whitening of latents.

        With the eigenvalues v of their covariance it scales by 1 / sqrt(v + (floor r)^2), where r
        is their root mean square about the mean. Then everything is scaled so that the variance is
        1 on average over the directions.

        Args:
            latents: Of clips, [T, D] each; many more frames than D in total.
            floor: Standard deviation, in units of r, below which a direction is left narrow; above
                0.

        Raises:
            ValueError: If there are no more frames than D, or the floor is not above 0.
        """
        if floor <= 0:
            raise ValueError(f"a floor of {floor:g} would amplify rounding: give one above 0")
        count, total, square = 0, torch.zeros(()), torch.zeros(())
        for clip in latents:
            exact = clip.detach().cpu().double()
            count, total = count + len(exact), total + exact.sum(0)
            square = square + exact.T @ exact
        if total.ndim == 0 or count <= len(total):
            raise ValueError(f"{count} latents are too few to estimate their covariance: give more")
        mean = total / count
        variance, directions = torch.linalg.eigh(square / count - mean.outer(mean))
        variance = variance.clamp_min(0)
        scale = (variance + floor**2 * variance.mean()).rsqrt()
        scale = scale / (variance * scale**2).mean().sqrt()
        return cls(mean.float(), ((directions * scale) @ directions.T).float())

    @override
    def check(self) -> None:
        try:
            torch.linalg.cholesky(self.matrix)
        except RuntimeError as error:
            raise ValueError(str(error)) from error

    @override
    def width(self, below: int) -> int:
        if len(self.mean) != below:
            raise ValueError(
                f"the whitening is of latents of {len(self.mean)}, the codec's have {below}: fit "
                "it again to this codec"
            )
        return below

    @cached_property
    def _inverse_matrix(self) -> Tensor:
        return self.matrix.cpu().double().inverse().float().to(self.matrix.device)

    @override
    def forward(self, units: Tensor) -> Tensor:
        return (units - self.mean) @ self.matrix

    @override
    def inverse(self, units: Tensor) -> Tensor:
        return units @ self._inverse_matrix + self.mean
