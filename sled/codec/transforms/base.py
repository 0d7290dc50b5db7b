"""Codecs whose latents are those of another one, written differently, and what they need for it.

Shapes: B batch, T frames, D latent width of the view.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sled.codec.base import Codec, StreamingDecoder, StreamingEncoder
from sled.codec.stream_state import StreamState

Stored = TypeVar("Stored", bound="StoredTensors")


@dataclass(frozen=True, eq=False)
class StoredTensors:
    """Tensors, all float32, that lie in a file of their own in a codec's folder.

    Attributes:
        kind: What they are called.
    """

    kind: ClassVar[str]

    @classmethod
    def file(cls) -> str:
        """Its name."""
        return f"{cls.kind.replace(' ', '_')}.safetensors"

    @classmethod
    def load(cls: type[Stored], path: Path) -> Stored:
        """What `save` wrote.

        Raises:
            ValueError: If it cannot be read, or holds other tensors.
        """
        try:
            return cls(**load_file(path))
        except (SafetensorError, TypeError) as error:
            raise ValueError(f"{path} is no {cls.kind} ({error}): make or copy it again") from error

    def save(self, folder: Path) -> None:
        """Write the file into a codec's folder."""
        tensors = {name: tensor.contiguous() for name, tensor in vars(self).items()}
        save_file(tensors, folder / self.file(), metadata={"format": "pt"})

    def to(self: Stored, device: torch.device) -> Stored:
        """The same on a device."""
        return type(self)(**{name: tensor.to(device) for name, tensor in vars(self).items()})


class CodecView(Codec):
    """A codec with the frames and the codes of another one, and other latents.

    Args:
        codec: The other one.
        latent_dim: D.
    """

    def __init__(self, codec: Codec, latent_dim: int) -> None:
        self._codec = codec
        self.sample_rate, self.hop_length = codec.sample_rate, codec.hop_length
        self.latent_dim, self.device = latent_dim, codec.device
        self.frames_per_latent = codec.frames_per_latent
        self.num_codebooks, self.codebook_size = codec.num_codebooks, codec.codebook_size

    @abstractmethod
    def restore(self, latents: Tensor) -> Tensor:
        """Latents [..., D] as those of the other codec."""

    @property
    def stored(self) -> Codec:
        return self._codec.stored

    def to_stored(self, latents: Tensor) -> Tensor:
        return self._codec.to_stored(self.restore(latents))

    def digest(self) -> str:
        return self._codec.digest()

    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        return self._codec.encode(waveforms)

    def decode(self, latents: Tensor) -> Tensor:
        return self._codec.decode(self.restore(latents))

    def stream_decoder(self, batch_size: int = 1) -> StreamingDecoder:
        stream = self._codec.stream_decoder(batch_size)
        return RestoringStreamingDecoder(stream, self.restore, self.latent_dim)

    def stream_encoder(self, batch_size: int = 1) -> StreamingEncoder:
        return self._codec.stream_encoder(batch_size)


class RestoringStreamingDecoder(StreamingDecoder):
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
