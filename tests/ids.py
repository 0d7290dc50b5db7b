"""A toy model and a toy codec whose units are ids: what generic code must work with as well.

Shapes: B batch, T frames, S samples, V ids, H hidden width.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from sled.codec import Codec
from sled.codec.base import StreamingDecoder, StreamingEncoder
from sled.codec.stream_state import StreamState
from sled.model.config import Architecture, Objective
from sled.model.heads import HEADS, Head, Score
from sled.model.lm import SpeechLM
from tests.debug import HOP, SAMPLE_RATE, debug_model

NUM_IDS = 24


class TokenHead(Head):
    """Draws an id from a softmax, by the quantile of one standard normal value."""

    averages = False
    unit_dtype = torch.long
    noise_width = 1

    def __init__(self, architecture: Architecture, objective: Objective) -> None:
        super().__init__(architecture, objective)
        self.logits = nn.Linear(architecture.hidden_size, architecture.vae_embed_dim)

    @classmethod
    @override
    def unit_shape_of(cls, architecture: Architecture) -> tuple[int, ...]:
        return ()

    @classmethod
    @override
    def input_layer(cls, architecture: Architecture) -> nn.Module:
        return nn.Embedding(architecture.vae_embed_dim, architecture.hidden_size)

    @override
    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        quantile = torch.special.ndtr(noise[..., 0].double())
        cumulative = self.logits(hidden).double().softmax(-1).cumsum(-1)
        ids = torch.searchsorted(cumulative, quantile[..., None])[..., 0]
        return ids.clamp_max(cumulative.shape[-1] - 1)

    @override
    def draw_noise(
        self, num_frames: int, device: torch.device, generator: torch.Generator | None = None
    ) -> Tensor:
        return torch.empty(0, num_frames, self.noise_width, device=device)

    @override
    def score(self, hidden: Tensor, target: Tensor, noise: Tensor) -> Score:
        loss = F.cross_entropy(self.logits(hidden).float(), target, reduction="none")
        return Score(loss, torch.zeros_like(loss))


HEADS["toy_tokens"] = TokenHead


def debug_id_model(seed: int = 0, **changes: object) -> SpeechLM:
    """A debug model whose units are ids of `debug_id_codec`."""
    sizes: dict[str, object] = {"head": "toy_tokens", "vae_embed_dim": NUM_IDS}
    return debug_model(seed, **(sizes | changes))


class IdCodec(Codec):
    """Each id stands for a fixed random frame of samples; clips become ids by their loudness."""

    sample_rate, hop_length = SAMPLE_RATE, HOP
    unit_shape: tuple[int, ...] = ()
    unit_dtype = torch.long
    num_codebooks, codebook_size = 1, NUM_IDS
    device = torch.device("cpu")

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.table = 0.1 * torch.randn(NUM_IDS, HOP, generator=generator)

    @override
    def digest(self) -> str:
        return "ids"

    @override
    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        codes = []
        for waveform in waveforms:
            padding = self.num_frames(len(waveform)) * HOP - len(waveform)
            levels = F.pad(waveform, (0, padding)).reshape(-1, HOP).abs().mean(-1)
            codes.append((levels * 200).long().clamp_max(NUM_IDS - 1)[None])
        return codes

    @override
    def codes_to_units(self, codes: Tensor) -> Tensor:
        return codes[..., 0, :]

    @override
    def decode(self, units: Tensor, conditions: Mapping[str, Tensor] | None = None) -> Tensor:
        return self.table[units].flatten(-2)

    @override
    def stream_decoder(
        self, batch_size: int = 1, conditions: Mapping[str, Tensor] | None = None
    ) -> StreamingDecoder:
        return IdDecoder(self, batch_size)

    @override
    def stream_encoder(self, batch_size: int = 1) -> StreamingEncoder:
        raise ValueError("the toy codec has no streaming encoder")


class IdDecoder(StreamingDecoder):
    """Decodes each frame by itself."""

    lookahead_frames = 0

    def __init__(self, codec: IdCodec, batch_size: int) -> None:
        self.codec, self.state = codec, StreamState(torch.zeros(batch_size, 1, 0))

    @override
    def samples_after(self, frames: int) -> int:
        return frames * HOP

    @override
    def decode(self, units: Tensor) -> Tensor:
        return self.codec.decode(units)

    @override
    def finish(self) -> Tensor:
        return torch.zeros(self.state.batch_size, 0)


@cache
def debug_id_codec() -> Codec:
    """The toy codec: 24 kHz, hop 320, ids."""
    return IdCodec()
