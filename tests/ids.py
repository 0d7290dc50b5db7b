"""A tiny model and a toy codec whose units are ids, for tests of generic code."""

from collections.abc import Mapping, Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from sled.codec import Codec, StreamingDecoder, StreamingEncoder, StreamState
from sled.model.lm import SpeechLM
from tests.debug import HOP, SAMPLE_RATE, debug_model, randn

NUM_IDS = 24


def debug_id_model(seed: int = 0, **changes: object) -> SpeechLM:
    """As `debug_model`, but its units are ids below `NUM_IDS`."""
    return debug_model(seed, **({"head": "token", "vae_embed_dim": NUM_IDS} | changes))


class IdCodec(Codec):
    """Each id stands for fixed samples; encoding finds the nearest ones."""

    sample_rate, hop_length = SAMPLE_RATE, HOP
    unit_shape: tuple[int, ...] = ()
    unit_dtype = torch.long
    num_codebooks, codebook_size = 1, NUM_IDS
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.table = 0.1 * randn(NUM_IDS, HOP, seed=1)

    @override
    def digest(self) -> str:
        return "ids"

    @override
    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        return [self._nearest(w[None])[0] for w in waveforms]

    def _nearest(self, waveforms: Tensor) -> Tensor:
        """[B, S] to codes [B, 1, T]; the last frame is filled up with zeros."""
        padded = F.pad(waveforms, (0, -waveforms.shape[-1] % HOP)).unflatten(-1, (-1, HOP))
        return torch.cdist(padded, self.table).argmin(-1)[:, None]

    @override
    def codes_to_units(self, codes: Tensor) -> Tensor:
        return codes.squeeze(-2)

    @override
    def units_to_codes(self, units: Tensor) -> Tensor:
        return units[..., None, :]

    @override
    def decode(self, units: Tensor, conditions: Mapping[str, Tensor] | None = None) -> Tensor:
        return self.table[units].flatten(-2)

    @override
    def stream_decoder(
        self, batch_size: int = 1, conditions: Mapping[str, Tensor] | None = None
    ) -> StreamingDecoder:
        return IdStreamingDecoder(self, batch_size)

    @override
    def stream_encoder(self, batch_size: int = 1) -> StreamingEncoder:
        return IdStreamingEncoder(self, batch_size)


class IdStreamingDecoder(StreamingDecoder):
    """Decodes frame by frame, without a state but the number of rows."""

    lookahead_frames = 0

    def __init__(self, codec: IdCodec, batch_size: int) -> None:
        self._codec, self.state = codec, StreamState(torch.zeros(batch_size, 1, 0))

    @override
    def samples_after(self, frames: int) -> int:
        return frames * HOP

    @override
    def decode(self, units: Tensor) -> Tensor:
        if units.ndim != 2 or len(units) != self.state.batch_size:
            raise ValueError(f"units of shape {list(units.shape)}, rows {self.state.batch_size}")
        return self._codec.decode(units)

    @override
    def finish(self) -> Tensor:
        return torch.zeros(self.state.batch_size, 0)


class IdStreamingEncoder(StreamingEncoder):
    """Encodes whole frames; the samples of the last one wait for the rest of it."""

    lookahead_samples = HOP - 1

    def __init__(self, codec: IdCodec, batch_size: int) -> None:
        self._codec, self._batch_size = codec, batch_size
        self.state = StreamState(torch.zeros(batch_size, 1, 0))

    @override
    def frames_after(self, samples: int) -> int:
        return samples // HOP

    @override
    def encode(self, waveforms: Tensor) -> Tensor:
        samples = torch.cat((self.state.waiting[:, 0], waveforms), -1)
        whole = samples.shape[-1] - samples.shape[-1] % HOP
        self.state = StreamState(samples[:, None, whole:])
        return self._codec._nearest(samples[:, :whole])

    @override
    def finish(self) -> Tensor:
        rest, self.state = (
            self.state.waiting[:, 0],
            StreamState(torch.zeros(self._batch_size, 1, 0)),
        )
        return self._codec._nearest(rest)


@cache
def debug_id_codec() -> Codec:
    """A codec for `debug_id_model`: 24 kHz, hop 320."""
    return IdCodec()
