"""A codec with an ordered list of transforms of its latents.

Shapes: B batch, T frames, D latent width, K codebooks, S samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import torch
from torch import Tensor
from typing_extensions import override

from sled.codec.base import Codec, StreamingDecoder, StreamingEncoder
from sled.codec.stream_state import StreamState
from sled.codec.transforms import TokenChannel, Transform
from sled.codec.transforms.group import group_codes, split_codes


class TransformedCodec(Codec):
    """A codec whose units are transformed latents of another one; the audio of codes is the same.

    Args:
        codec: The codec below, without transforms.
        transforms: Applied one after the other to its latents. Each kind occurs at most once, a
            token channel only as the last.

    Raises:
        ValueError: If the transforms do not fit the codec or each other.
    """

    def __init__(self, codec: Codec, transforms: Sequence[Transform]) -> None:
        if codec.stored is not codec:
            raise ValueError("this codec has transforms already: give one list of all of them")
        if len(codec.unit_shape) != 1:
            raise ValueError("only latent vectors can be transformed, this codec's units are ids")
        check_order([transform.kind for transform in transforms])
        self._codec, self.device = codec, codec.device
        self.transforms = [transform.to(codec.device) for transform in transforms]
        (width,) = codec.unit_shape
        for transform in self.transforms:
            width = transform.width(width)
            if isinstance(transform, TokenChannel):
                self.token_channel = transform
        self.unit_shape, self.unit_dtype = (width,), codec.unit_dtype
        self.frames_per_unit = prod(transform.frames for transform in self.transforms)
        self.sample_rate = codec.sample_rate
        self.hop_length = self.frames_per_unit * codec.hop_length
        self.num_codebooks = self.frames_per_unit * codec.num_codebooks
        self.codebook_size = codec.codebook_size

    @property
    def latent_dim(self) -> int:
        """Width D of a latent."""
        return self.unit_shape[0]

    @property
    @override
    def stored(self) -> Codec:
        return self._codec

    @override
    def to_stored(self, units: Tensor) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):
            units = units.to(self.device, torch.float32)
            for transform in reversed(self.transforms):
                units = transform.inverse(units)
        return units

    @override
    def digest(self) -> str:
        digest = self._codec.digest()
        return digest if self.frames_per_unit == 1 else f"{self.frames_per_unit}x{digest}"

    @override
    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        codes = self._codec.encode(waveforms)
        return [group_codes(each, self.frames_per_unit) for each in codes]

    @override
    def codes_to_units(self, codes: Tensor) -> Tensor:
        if codes.shape[-2] != self.num_codebooks:
            raise ValueError(
                f"codes must be [..., {self.num_codebooks}, frames], got {list(codes.shape)}"
            )
        units = self._codec.codes_to_units(split_codes(codes, self.frames_per_unit))
        with torch.autocast(self.device.type, enabled=False):
            for transform in self.transforms:
                units = transform.forward(units)
        return units

    @override
    def units_to_codes(self, units: Tensor) -> Tensor:
        return group_codes(self._codec.units_to_codes(self.to_stored(units)), self.frames_per_unit)

    @override
    def decode(self, units: Tensor, conditions: Mapping[str, Tensor] | None = None) -> Tensor:
        return self._codec.decode(self.to_stored(units), conditions)

    @override
    def stream_decoder(
        self, batch_size: int = 1, conditions: Mapping[str, Tensor] | None = None
    ) -> StreamingDecoder:
        stream = self._codec.stream_decoder(batch_size, conditions)
        return _TransformedStreamingDecoder(
            stream, self.to_stored, self.latent_dim, self.frames_per_unit
        )

    @override
    def stream_encoder(self, batch_size: int = 1) -> StreamingEncoder:
        stream = self._codec.stream_encoder(batch_size)
        if self.frames_per_unit == 1:
            return stream
        return _GroupingStreamingEncoder(stream, self._codec, self.frames_per_unit)


def check_order(kinds: Sequence[str]) -> None:
    """Make sure that transforms of these kinds can be applied in this order.

    Raises:
        ValueError: If a kind occurs twice, or a transform follows a token channel.
    """
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise ValueError(f"{kind} is there already: apply each kind of transform once")
    if TokenChannel.kind in kinds[:-1]:
        after = kinds[list(kinds).index(TokenChannel.kind) + 1]
        raise ValueError(f"{after} after {TokenChannel.kind}: add the token channel last")


class _TransformedStreamingDecoder(StreamingDecoder):
    """Units in, speech out; its state is that of the stream of the codec below.

    Args:
        stream: The stream of the codec below.
        to_stored: Units [B, t, D] to those of the codec below, [B, frames t, ...].
        latent_dim: Width D.
        frames: Frames of the codec below for each unit.
    """

    def __init__(
        self,
        stream: StreamingDecoder,
        to_stored: Callable[[Tensor], Tensor],
        latent_dim: int,
        frames: int,
    ) -> None:
        self._stream, self._to_stored = stream, to_stored
        self._latent_dim, self._frames = latent_dim, frames
        self.lookahead_frames = -(-(stream.lookahead_frames + 1) // frames) - 1
        self.delayed_frames = -(-stream.delayed_frames // frames)

    @property
    def state(self) -> StreamState:
        return self._stream.state

    @state.setter
    def state(self, state: StreamState) -> None:
        self._stream.state = state

    @override
    def samples_after(self, frames: int) -> int:
        return self._stream.samples_after(self._frames * frames)

    @override
    def decode(self, units: Tensor) -> Tensor:
        if units.ndim != 3 or units.shape[2] != self._latent_dim:
            raise ValueError(
                f"latents must be [batch, frames, {self._latent_dim}], got {list(units.shape)}"
            )
        return self._stream.decode(self._to_stored(units))

    @override
    def finish(self) -> Tensor:
        return self._stream.finish()


class _GroupingStreamingEncoder(StreamingEncoder):
    """Speech in, codes of groups out.

    Its state is that of the codec below and, once that has started, one more layer: the codes
    [B, K, n] of an incomplete group.

    Args:
        stream: The stream of the codec below.
        codec: The codec below.
        frames: Frames of a group.
    """

    def __init__(self, stream: StreamingEncoder, codec: Codec, frames: int) -> None:
        self._stream, self._codec, self._frames = stream, codec, frames
        self.lookahead_samples = stream.lookahead_samples + (frames - 1) * codec.hop_length
        self._open = self._no_codes()

    def _no_codes(self) -> Tensor:
        size = self._stream.state.batch_size
        shape = (size, self._codec.num_codebooks, 0)
        return torch.zeros(shape, dtype=torch.long, device=self._codec.device)

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

    @override
    def frames_after(self, samples: int) -> int:
        return self._stream.frames_after(samples) // self._frames

    @override
    def encode(self, waveforms: Tensor) -> Tensor:
        codes = torch.cat((self._open, self._stream.encode(waveforms)), dim=-1)
        whole = codes.shape[-1] // self._frames * self._frames
        self._open = codes[..., whole:]
        return group_codes(codes[..., :whole], self._frames)

    @override
    def finish(self) -> Tensor:
        codes = torch.cat((self._open, self._stream.finish()), dim=-1)
        self._open = self._no_codes()
        return group_codes(codes, self._frames)
