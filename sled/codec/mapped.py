"""The latents of a codec seen in another basis: an affine map, undone before decoding.

Codes, and the speech of given codes, stay what they are; only what a model is shown and asked for
is written differently. Which map is of use, `sled.codec.whitening` and `sled.codec.emphasis` tell.

Shapes: B batch, S samples, T frames, K codebooks, D latent width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sled.codec.base import Codec, StreamingDecoder, StreamingEncoder
from sled.codec.streaming_state import StreamState

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


class MappedCodec(Codec):
    """A codec whose latents are mapped; its codes are as before.

    Args:
        codec: Whose latents.
        latent_map: Of its latents.

    Raises:
        ValueError: If the map is of latents of another width.
    """

    def __init__(self, codec: Codec, latent_map: LatentMap) -> None:
        width = len(latent_map.mean)
        if width != codec.latent_dim:
            raise ValueError(
                f"the map is of latents of {width}, the codec's have {codec.latent_dim}: "
                "make it again from this codec's codes"
            )
        self._codec, self._mean = codec, latent_map.mean.to(codec.device)
        self._matrix = latent_map.matrix.to(codec.device)
        self._inverse = latent_map.matrix.double().inverse().float().to(codec.device)
        self.sample_rate, self.device = codec.sample_rate, codec.device
        self.hop_length, self.latent_dim = codec.hop_length, codec.latent_dim
        self.frames_per_latent = codec.frames_per_latent
        self.num_codebooks, self.codebook_size = codec.num_codebooks, codec.codebook_size

    @property
    def stored(self) -> Codec:
        return self._codec.stored

    def digest(self) -> str:
        return self._codec.digest()

    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        return self._codec.encode(waveforms)

    def codes_to_latents(self, codes: Tensor) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            return (self._codec.codes_to_latents(codes) - self._mean) @ self._matrix

    def restore(self, latents: Tensor) -> Tensor:
        """Mapped latents [..., D] as those of the codec itself."""
        with torch.autocast(self.device.type, enabled=False):
            return latents.to(self.device, torch.float32) @ self._inverse + self._mean

    def decode(self, latents: Tensor) -> Tensor:
        return self._codec.decode(self.restore(latents))

    def stream_decoder(self, batch_size: int = 1) -> MappedStreamingDecoder:
        stream = self._codec.stream_decoder(batch_size)
        return MappedStreamingDecoder(stream, self.restore, self.latent_dim)

    def stream_encoder(self, batch_size: int = 1) -> StreamingEncoder:
        return self._codec.stream_encoder(batch_size)


class MappedStreamingDecoder(StreamingDecoder):
    """Latents in, speech out; its state is that of the other codec's stream.

    Args:
        stream: Of the other codec.
        restore: Latents [B, t, D] to those of the other codec, [B, frames t, ...].
        latent_dim: Width D.
        frames: Of the other codec for each latent.
    """

    def __init__(
        self,
        stream: StreamingDecoder,
        restore: Callable[[Tensor], Tensor],
        latent_dim: int,
        frames: int = 1,
    ) -> None:
        self._stream, self._restore = stream, restore
        self._latent_dim, self._frames = latent_dim, frames
        self.lookahead_frames = -(-(stream.lookahead_frames + 1) // frames) - 1

    @property
    def state(self) -> StreamState:
        return self._stream.state

    @state.setter
    def state(self, state: StreamState) -> None:
        self._stream.state = state

    def samples_after(self, frames: int) -> int:
        return self._stream.samples_after(self._frames * frames)

    def decode(self, latents: Tensor) -> Tensor:
        if latents.ndim != 3 or latents.shape[2] != self._latent_dim:
            raise ValueError(
                f"latents must be [batch, frames, {self._latent_dim}], got {list(latents.shape)}"
            )
        return self._stream.decode(self._restore(latents))

    def finish(self) -> Tensor:
        return self._stream.finish()
