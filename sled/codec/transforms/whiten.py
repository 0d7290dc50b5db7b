"""Whitened latents: a basis in which all that carries speech counts alike.

In the latents of a small codec most of the variance lies in a few directions, loudness above all,
and what tells one word from another in directions a tenth as wide. A model that learns by distances
between latents learns the former and hardly sees the latter. Whitening (the ZCA form: Kessy, Lewin
and Strimmer 2018, "Optimal whitening and decorrelation") makes all directions equally wide; those
under a floor, which hold nothing but the codec's own rounding, are left narrow. It is linear and is
undone before decoding: codes, and the speech of given codes, stay what they are.

Shapes: T frames, D latent width.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sled.codec.base import Codec
from sled.codec.transforms.base import CodecView, StoredTensors


@dataclass(frozen=True, eq=False)
class Whitening(StoredTensors):
    """x -> (x - mean) @ matrix, of latents x [..., D].

    Attributes:
        mean: [D] float32.
        matrix: [D, D] float32, symmetric and positive definite.
    """

    kind = "whitening"

    mean: Tensor
    matrix: Tensor

    @classmethod
    def of(cls, latents: Iterable[Tensor], floor: float) -> Whitening:
        """The whitening of the latents that are given.

        With eigenvalues v of their covariance it scales by 1 / sqrt(v + (floor r)^2), r being their
        root mean square about the mean; then all of it so that the latents have variance 1 on
        average over the directions.

        Args:
            latents: Of clips, [T, D] each; many more frames than D in all.
            floor: Standard deviation, in units of r, under which a direction is left narrow; above
                0.

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
        return cls(mean.float(), ((directions * scale) @ directions.T).float())

    @classmethod
    def load(cls, path: Path) -> Whitening:
        """What `save` wrote.

        Raises:
            ValueError: If it cannot be read or undone.
        """
        whitening = super().load(path)
        try:
            torch.linalg.cholesky(whitening.matrix)
        except RuntimeError as error:
            raise ValueError(f"{path} is no whitening ({error}): make or copy it again") from error
        return whitening


class WhitenedCodec(CodecView):
    """A codec whose latents are whitened; its codes are as before.

    Args:
        codec: Whose latents.
        whitening: Of its latents.

    Raises:
        ValueError: If the whitening is of latents of another width.
    """

    def __init__(self, codec: Codec, whitening: Whitening) -> None:
        super().__init__(codec, latent_dim=len(whitening.mean))
        if self.latent_dim != codec.latent_dim:
            raise ValueError(
                f"the whitening is of latents of {self.latent_dim}, the codec's have "
                f"{codec.latent_dim}: make it again from this codec's codes"
            )
        self._mean = whitening.mean.to(codec.device)
        self._matrix = whitening.matrix.to(codec.device)
        self._inverse = whitening.matrix.double().inverse().float().to(codec.device)

    def codes_to_latents(self, codes: Tensor) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            return (self._codec.codes_to_latents(codes) - self._mean) @ self._matrix

    def restore(self, latents: Tensor) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            return latents.to(self.device, torch.float32) @ self._inverse + self._mean
