"""The stream of a codec whose latents are those of another one, written differently."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from sled.codec.base import StreamingDecoder
from sled.codec.streaming_state import StreamState


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
