"""Several frames of a codec as one: fewer steps of the model for the same speech.

A model writes k frames in each step if its codec says that they are one frame of k times the width.
So neither the model nor anything else has to know. What it costs is that the frames of a group are
drawn at once, each without having seen the one before.

Shapes: B batch, S samples, T groups, K codebooks and D latent width of the codec that is grouped.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sled.codec.base import Codec, StreamingEncoder
from sled.codec.mapped import MappedStreamingDecoder
from sled.codec.streaming_state import StreamState


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
        self._codec, self._frames = codec, frames
        self.sample_rate, self.device = codec.sample_rate, codec.device
        self.hop_length = frames * codec.hop_length
        self.latent_dim = frames * codec.latent_dim
        self.num_codebooks = frames * codec.num_codebooks
        self.codebook_size = codec.codebook_size

    def digest(self) -> str:
        return f"{self._frames}x{self._codec.digest()}"

    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        # Silence to the end of the last group; the codec looks back only, so all else stays.
        whole = [F.pad(x, (0, -x.shape[-1] % self.hop_length)) for x in waveforms]
        return [self.group(codes) for codes in self._codec.encode(whole)]

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

    def stream_decoder(self, batch_size: int = 1) -> MappedStreamingDecoder:
        stream = self._codec.stream_decoder(batch_size)
        return MappedStreamingDecoder(stream, self.split, self.latent_dim, self._frames)

    def stream_encoder(self, batch_size: int = 1) -> "GroupedStreamingEncoder":
        return GroupedStreamingEncoder(self, self._codec.stream_encoder(batch_size), self._frames)

    def group(self, codes: Tensor) -> Tensor:
        """Codes [..., K, k T] of the codec that is grouped as [..., k K, T]."""
        return codes.unflatten(-1, (-1, self._frames)).movedim(-1, -3).flatten(-3, -2)


class GroupedStreamingEncoder(StreamingEncoder):
    """Speech in, codes of groups out.

    Its state is that of the codec that is grouped and, once that has started, one layer more: the
    codes [B, K, n] of a group that is not complete, and the samples [B] that have come since the
    last whole group of samples.

    Args:
        codec: Whose groups they are.
        stream: Of the codec that is grouped.
        frames: Of a group.
    """

    def __init__(self, codec: GroupedCodec, stream: StreamingEncoder, frames: int) -> None:
        self._codec, self._stream, self._frames = codec, stream, frames
        base_hop = codec.hop_length // frames
        self.lookahead_samples = stream.lookahead_samples + (frames - 1) * base_hop
        self._begin()

    def _begin(self) -> None:
        codebooks = self._codec.num_codebooks // self._frames
        size = self._stream.state.batch_size
        device = self._codec.device
        self._open_codes = torch.zeros(size, codebooks, 0, dtype=torch.long, device=device)
        self._open_samples = self._stream.state.waiting.shape[-1] % self._codec.hop_length

    @property
    def state(self) -> StreamState:
        inner = self._stream.state
        if not inner.started:
            return inner
        counts = torch.full((inner.batch_size,), self._open_samples)
        return StreamState(inner.waiting, (*inner.layers, (self._open_codes, counts)))

    @state.setter
    def state(self, state: StreamState) -> None:
        if not state.started:
            self._stream.state = state
            self._begin()
            return
        *layers, (self._open_codes, counts) = state.layers
        self._stream.state = StreamState(state.waiting, tuple(layers))
        self._open_samples = int(counts[0])

    def frames_after(self, samples: int) -> int:
        return self._stream.frames_after(samples) // self._frames

    def encode(self, waveforms: Tensor) -> Tensor:
        return self._complete(self._feed(waveforms))

    def _feed(self, waveforms: Tensor) -> Tensor:
        """All codes [B, K, n] that no group has had yet."""
        codes = self._stream.encode(waveforms)
        samples = self._open_samples + waveforms.shape[-1]
        self._open_samples = samples % self._codec.hop_length
        return torch.cat((self._open_codes, codes), dim=-1)

    def _complete(self, codes: Tensor) -> Tensor:
        """Groups [B, k K, T] of the codes; the rest is kept."""
        whole = codes.shape[-1] // self._frames * self._frames
        self._open_codes = codes[..., whole:]
        return self._codec.group(codes[..., :whole])

    def finish(self) -> Tensor:
        codes, size = self._open_codes, self._stream.state.batch_size
        if self._open_samples:  # silence to the end of the group
            missing = self._codec.hop_length - self._open_samples
            codes = self._feed(torch.zeros(size, missing, device=self._codec.device))
        groups = self._complete(torch.cat((codes, self._stream.finish()), dim=-1))
        self._begin()
        return groups
