"""The latents of a codec seen in another basis: an affine map, undone before decoding.

Codes, and the speech of given codes, stay what they are; only what a model is shown and asked for
is written differently. Which map is of use, `sled.codec.whitening` and `sled.codec.emphasis` tell.

Shapes: D latent width.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sled.codec.base import Codec
from sled.codec.view import CodecView

MAP_FILE = "latent_map.safetensors"


@dataclass(frozen=True, eq=False)
class LatentMap:
    """x -> (x - mean) @ matrix, of latents x [..., D].

    Attributes:
        mean: [D] float32.
        matrix: [D, D] float32, that can be inverted.
    """

    mean: Tensor
    matrix: Tensor

    @classmethod
    def load(cls, path: Path) -> LatentMap:
        """What `save` wrote.

        Raises:
            ValueError: If it cannot be read or undone.
        """
        try:
            tensors = load_file(path)
            latent_map = cls(tensors["mean"], tensors["matrix"])
            torch.linalg.inv(latent_map.matrix.double())
        except (SafetensorError, KeyError, RuntimeError) as error:
            raise ValueError(
                f"{path} is no map of latents ({error}): make or copy it again"
            ) from error
        return latent_map

    def save(self, folder: Path) -> None:
        """Write `latent_map.safetensors` into a codec's folder."""
        tensors = {"mean": self.mean.contiguous(), "matrix": self.matrix.contiguous()}
        save_file(tensors, folder / MAP_FILE, metadata={"format": "pt"})

    def then(self, other: LatentMap) -> LatentMap:
        """This map and then another one, as one."""
        matrix = self.matrix.double()
        mean = self.mean.double() + torch.linalg.solve(matrix.T, other.mean.double())
        return LatentMap(mean.float(), (matrix @ other.matrix.double()).float())

    def of_groups(self, frames: int) -> LatentMap:
        """The map of latents that are so many, side by side, each mapped by this one."""
        return LatentMap(self.mean.repeat(frames), torch.block_diag(*[self.matrix] * frames))


class MappedCodec(CodecView):
    """A codec whose latents are mapped; its codes are as before.

    Args:
        codec: Whose latents.
        latent_map: Of its latents.

    Raises:
        ValueError: If the map is of latents of another width.
    """

    def __init__(self, codec: Codec, latent_map: LatentMap) -> None:
        super().__init__(codec, latent_dim=len(latent_map.mean))
        if self.latent_dim != codec.latent_dim:
            raise ValueError(
                f"the map is of latents of {self.latent_dim}, the codec's have {codec.latent_dim}: "
                "make it again from this codec's codes"
            )
        self._mean = latent_map.mean.to(codec.device)
        self._matrix = latent_map.matrix.to(codec.device)
        self._inverse = latent_map.matrix.double().inverse().float().to(codec.device)

    def codes_to_latents(self, codes: Tensor) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            return (self._codec.codes_to_latents(codes) - self._mean) @ self._matrix

    def restore(self, latents: Tensor) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            return latents.to(self.device, torch.float32) @ self._inverse + self._mean
