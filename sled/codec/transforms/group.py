"""Several frames of a codec as one: fewer steps of the model for the same speech.

A model writes k frames in each step if its codec says that they are one frame of k times the width.
So neither the model nor anything else has to know. What it costs is that the frames of a group are
drawn at once, each without having seen the one before.

Shapes: B batch, S samples, T groups, K codebooks and D latent width of the codec that is grouped.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from sled.codec.base import Codec, StreamingEncoder
from sled.codec.stream_state import StreamState
from sled.codec.transforms.base import RestoringStreamingDecoder


def group_codes(codes: Tensor, frames: int) -> Tensor:
    """Codes [..., K, T] as those of groups of k frames, [..., k K, T / k rounded up].

    What is missing in the last group repeats the last frame.
    """
    missing = -codes.shape[-1] % frames
    whole = torch.cat((codes, codes[..., -1:].expand(*codes.shape[:-1], missing)), dim=-1)
    return whole.unflatten(-1, (-1, frames)).movedim(-1, -3).flatten(-3, -2)


class GroupedCodec(Codec):
    """A codec whose frames are k frames of another one.

    Codebooks are those of the other, first all of the group's first frame, then of the second, and
    so on; so is the width.

    Args:
        codec: Whose frames to group.
        frames: How many make one, k.
    """

    def __init__(self, codec: Codec, frames: int) -> None:
        if frames < 2:
            raise ValueError(f"frames_per_latent={frames}: group at least 2 frames")
        if codec.frames_per_latent > 1:
            raise ValueError("these frames are groups already: group those of the codec itself")
        self._codec = codec
        self.frames_per_latent = self._frames = frames
        self.sample_rate, self.device = codec.sample_rate, codec.device
        self.hop_length = frames * codec.hop_length
        self.latent_dim = frames * codec.latent_dim
        self.num_codebooks = frames * codec.num_codebooks
        self.codebook_size = codec.codebook_size

    def digest(self) -> str:
        return f"{self.frames_per_latent}x{self.stored.digest()}"

    @property
    def stored(self) -> Codec:
        return self._codec.stored

    def to_stored(self, latents: Tensor) -> Tensor:
        return self._codec.to_stored(self.split(latents))

    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        return [group_codes(codes, self._frames) for codes in self._codec.encode(waveforms)]

    def codes_to_latents(self, codes: Tensor) -> Tensor:
        if codes.shape[-2] != self.num_codebooks:
            raise ValueError(
                f"codes must be [..., {self.num_codebooks}, frames], got {list(codes.shape)}"
            )
        each = codes.unflatten(-2, (self._frames, -1)).movedim(-3, -1).flatten(-2)  # [..., K, k T]
        latents = self._codec.codes_to_latents(each)
        return latents.unflatten(-2, (-1, self._frames)).flatten(-2)

    def split(self, latents: Tensor) -> Tensor:
        """Latents [B, T, k D] as those of the codec that is grouped, [B, k T, D]."""
        return latents.unflatten(-1, (self._frames, -1)).flatten(-3, -2)

    def decode(self, latents: Tensor) -> Tensor:
        return self._codec.decode(self.split(latents))

    def stream_decoder(self, batch_size: int = 1) -> RestoringStreamingDecoder:
        stream = self._codec.stream_decoder(batch_size)
        return RestoringStreamingDecoder(stream, self.split, self.latent_dim, self._frames)

    def stream_encoder(self, batch_size: int = 1) -> "GroupedStreamingEncoder":
        return GroupedStreamingEncoder(self, self._codec.stream_encoder(batch_size))


class GroupedStreamingEncoder(StreamingEncoder):
    """Speech in, codes of groups out.

    Its state is that of the codec that is grouped and, once that has started, one layer more: the
    codes [B, K, n] of a group that is not complete.

    Args:
        codec: Whose groups they are.
        stream: Of the codec that is grouped.
    """

    def __init__(self, codec: GroupedCodec, stream: StreamingEncoder) -> None:
        self._codec, self._stream, self._frames = codec, stream, codec.frames_per_latent
        base_hop = codec.hop_length // self._frames
        self.lookahead_samples = stream.lookahead_samples + (self._frames - 1) * base_hop
        self._open = self._no_codes()

    def _no_codes(self) -> Tensor:
        size, codebooks = self._stream.state.batch_size, self._codec.stored.num_codebooks
        return torch.zeros(size, codebooks, 0, dtype=torch.long, device=self._codec.device)

    @property
    def state(self) -> StreamState:
        inner = self._stream.state
        if not inner.started:
            return inner
        return StreamState(inner.waiting, (*inner.layers, (self._open,)))

    @state.setter
    def state(self, state: StreamState) -> None:
        if state.started:
            *layers, (self._open,) = state.layers
            self._stream.state = StreamState(state.waiting, tuple(layers))
        else:
            self._stream.state = state
            self._open = self._no_codes()

    def frames_after(self, samples: int) -> int:
        return self._stream.frames_after(samples) // self._frames

    def encode(self, waveforms: Tensor) -> Tensor:
        codes = torch.cat((self._open, self._stream.encode(waveforms)), dim=-1)
        whole = codes.shape[-1] // self._frames * self._frames
        self._open = codes[..., whole:]
        return group_codes(codes[..., :whole], self._frames)

    def finish(self) -> Tensor:
        codes = torch.cat((self._open, self._stream.finish()), dim=-1)
        self._open = self._no_codes()
        return group_codes(codes, self._frames)
