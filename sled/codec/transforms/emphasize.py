"""Emphasis: a basis of latents in which what tells sounds apart weighs more than the rest.

Most of what is in a latent is voice, loudness and grain, which no text foretells. A model that
learns by distances learns those first, and from its own past hears them best. Where it is known
which sound each frame belongs to (`scripts/align.py`), the directions in which the means of sounds
differ are found, and widened by how much of the variance along them is due to that (the ratio of
linear discriminant analysis: Fisher 1936, Rao 1948 for many classes). Other than in that analysis
nothing is whitened: within a group of frames what changes fast would then weigh as much as what
lasts.

Shapes: T frames, D latent width, R directions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from sled.codec.base import Codec
from sled.codec.transforms.base import CodecView, StoredTensors


@dataclass(frozen=True, eq=False)
class Emphasis(StoredTensors):
    """x -> scale (x - mean) (I + sum of gain d d'), over directions d; x [..., D].

    Attributes:
        mean: [D] float32.
        directions: [R, D] float32, orthonormal.
        gains: [R] float32, by which their widths grow; at least 0.
        scale: [] float32, of all of it.
    """

    kind = "emphasis"

    mean: Tensor
    directions: Tensor
    gains: Tensor
    scale: Tensor

    @classmethod
    def of(
        cls, clips: Iterable[tuple[Tensor, Tensor]], strength: float
    ) -> tuple[Emphasis, tuple[float, float]]:
        """Widen directions by 1 + strength s, where s is the sounds' share of them.

        Directions are the principal ones of the sounds' means; s, between 0 and 1, is the part of
        the variance along a direction that lies between these means. The scale gives latents
        variance 1 on average over the dimensions.

        Args:
            clips: Latents [T, D] and the number of each frame's sound [T], -1 where it is not
                known.
            strength: 0 emphasises nothing.

        Returns:
            The emphasis, and the sounds' share of all variance before and after it.

        Raises:
            ValueError: If there are too few frames whose sound is known, or the strength is below
                0.
        """
        if strength < 0:
            raise ValueError(f"a strength of {strength:g} would hide what is said: give at least 0")
        mean, total, between, num_sounds = _spread(clips)
        # No more directions than these can tell so many means apart.
        directions = torch.linalg.eigh(between).eigenvectors.T.flip(0)[: num_sounds - 1]
        along = [((directions @ spread) * directions).sum(1) for spread in (between, total)]
        # Directions that hold nothing at all have no share; rounding would give them any.
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

    def apply(self, latents: Tensor) -> Tensor:
        """Latents [..., D] emphasised."""
        centred = latents - self.mean
        along = centred @ self.directions.T * self.gains
        return self.scale * (centred + along @ self.directions)

    def undo(self, latents: Tensor) -> Tensor:
        """What `apply` made these of."""
        centred = latents / self.scale
        along = centred @ self.directions.T * (self.gains / (1 + self.gains))
        return centred - along @ self.directions + self.mean


class EmphasizedCodec(CodecView):
    """A codec in whose latents sounds count for more; its codes are as before.

    Args:
        codec: Whose latents.
        emphasis: Of its latents.

    Raises:
        ValueError: If the emphasis is of latents of another width.
    """

    def __init__(self, codec: Codec, emphasis: Emphasis) -> None:
        super().__init__(codec, latent_dim=len(emphasis.mean))
        if self.latent_dim != codec.latent_dim:
            raise ValueError(
                f"the emphasis is of latents of {self.latent_dim}, the codec's have "
                f"{codec.latent_dim}: make it again from this codec's codes"
            )
        self._emphasis = emphasis.to(codec.device)

    def codes_to_latents(self, codes: Tensor) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            return self._emphasis.apply(self._codec.codes_to_latents(codes))

    def restore(self, latents: Tensor) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            return self._emphasis.undo(latents.to(self.device, torch.float32))


def _spread(clips: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor, int]:
    """Mean [D], covariance [D, D] of all frames and of their sounds' means, number of sounds."""
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
    return mean, square / number - mean.outer(mean), (means.T * weights) @ means, len(counts)
