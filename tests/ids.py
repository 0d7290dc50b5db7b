"""A toy model and a toy codec whose units are ids, for tests of generic code.

Shapes as in the package; V ids.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from sled.codec import Codec, StreamingDecoder, StreamingEncoder, StreamState
from sled.model.config import Architecture, Objective
from sled.model.heads import HEADS, Head, Score
from sled.model.lm import SpeechLM
from tests.debug import HOP, SAMPLE_RATE, debug_model, randn

NUM_IDS = 24


class TokenHead(Head):
    """Draws an id from a softmax, and learns by cross-entropy. V is `vae_embed_dim`."""

    averages = False
    unit_dtype = torch.long
    noise_width = 1

    def __init__(self, architecture: Architecture, objective: Objective) -> None:
        super().__init__(architecture, objective)
        self.logits = nn.Linear(architecture.hidden_size, architecture.vae_embed_dim)

    @override
    @classmethod
    def unit_shape_of(cls, architecture: Architecture) -> tuple[int, ...]:
        return ()

    @override
    @classmethod
    def input_layer(cls, architecture: Architecture) -> nn.Module:
        return nn.Embedding(architecture.vae_embed_dim, architecture.hidden_size)

    @override
    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        # The normal distribution function makes of the noise a uniform number.
        uniform = torch.special.ndtr(noise.float())
        upper = self.logits(hidden).float().softmax(-1).cumsum(-1)
        return torch.searchsorted(upper, uniform).squeeze(-1).clamp(max=upper.shape[-1] - 1)

    @override
    def draw_noise(
        self, num_frames: int, device: torch.device, generator: torch.Generator | None = None
    ) -> Tensor:
        return torch.zeros(1, num_frames, 1, device=device)  # cross-entropy needs none

    @override
    def score(self, hidden: Tensor, target: Tensor, noise: Tensor) -> Score:
        surprise = F.cross_entropy(self.logits(hidden).float(), target, reduction="none")
        return Score(surprise, torch.zeros_like(surprise))


HEADS["toy_tokens"] = TokenHead


def debug_id_model(seed: int = 0, **changes: object) -> SpeechLM:
    """As `debug_model`, but its units are ids below `NUM_IDS`."""
    return debug_model(seed, **({"head": "toy_tokens", "vae_embed_dim": NUM_IDS} | changes))


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
