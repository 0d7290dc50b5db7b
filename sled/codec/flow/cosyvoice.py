"""The flow of CosyVoice (Du et al. 2024): a U-net that sees a whole utterance.

Tokens and mel frames have rates without a common divisor, so a length regulator stretches what the
encoder makes of the tokens. Every frame depends on all others: the flow does not stream.

Shapes: B batch, T tokens, F frames, M mel bands; see `sled.codec.flow.base`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self, override

from sled.codec.flow.base import (
    Decoder,
    Flow,
    FlowBatch,
    FlowPrompt,
    WholeFlow,
    length_mask,
    whole_noise,
)
from sled.codec.flow.cosyvoice2 import unet_sizes_of
from sled.codec.flow.encoder import EncoderSizes, PlainEncoder
from sled.codec.flow.matching import SolverOptions
from sled.codec.flow.unet import UNet, UNetSizes
from sled.codec.network_files import count, known

MEL_RATE = 22_050 / 256
"""Mel frames per second."""
END_TOKENS = 20
"""Tokens at either end of longer speech whose frames are stretched apart from the middle."""
# The newest frames whose noise and mu a next call continues with.
_CACHED_FRAMES = 34


@dataclass(frozen=True, kw_only=True)
class CosyVoiceFlowSizes:
    """The sizes of the flow; defaults as published.

    Attributes:
        vocab_size: Number of tokens.
        input_size: Width of their embeddings.
        output_size: M.
        spk_embed_dim: Width of a speaker vector.
        input_frame_rate: Tokens per second.
        encoder: Of the encoder.
        estimator: Of the estimator.
        sampling_ratios: One for each convolution of the length regulator.
    """

    vocab_size: int = 4096
    input_size: int = 512
    output_size: int = 80
    spk_embed_dim: int = 192
    input_frame_rate: float = 50.0
    encoder: EncoderSizes = field(
        default_factory=lambda: EncoderSizes(
            input_size=512, output_size=512, attention_heads=8, linear_units=2048, num_blocks=6
        )
    )
    estimator: UNetSizes = UNetSizes(channels=(256, 256))
    sampling_ratios: tuple[int, ...] = (1, 1, 1, 1)


class LengthRegulator(nn.Module):
    """Stretches columns to another number of columns, and smooths them."""

    def __init__(self, channels: int, convolutions: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(convolutions):
            conv = nn.Conv1d(channels, channels, 3, padding=1)
            layers += [conv, nn.GroupNorm(1, channels), nn.Mish()]
        self.model = nn.Sequential(*layers, nn.Conv1d(channels, channels, 1))

    def forward(self, *parts: tuple[Tensor, int]) -> Tensor:
        """Parts [B, M, t], each with its new number of columns, to one signal [B, M, F]."""
        stretched = [
            F.interpolate(x, size=columns, mode="linear") for x, columns in parts if columns
        ]
        smooth: Tensor = self.model(torch.cat(stretched, -1))
        return smooth


@dataclass(frozen=True, eq=False)
class FlowCache:
    """What the next call of a sequence of overlapping calls continues with.

    Attributes:
        noise: [B, M, n] noise of the prompt and of the newest frames.
        mu: [B, M, n] of these.
    """

    noise: Tensor
    mu: Tensor


class CosyVoiceFlow(Flow, WholeFlow):
    """The flow.

    Args:
        sizes: Its sizes.
    """

    KIND = "MaskedDiffWithXvec"

    def __init__(self, sizes: CosyVoiceFlowSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.token_rate, self.vocab_size = sizes.input_frame_rate, sizes.vocab_size
        self.num_mels, self.speaker_size = sizes.output_size, sizes.spk_embed_dim
        self.input_embedding = nn.Embedding(sizes.vocab_size, sizes.input_size)
        self.spk_embed_affine_layer = nn.Linear(sizes.spk_embed_dim, sizes.output_size)
        self.encoder = PlainEncoder(sizes.encoder)
        self.encoder_proj = nn.Linear(sizes.encoder.output_size, sizes.output_size)
        self.length_regulator = LengthRegulator(sizes.output_size, len(sizes.sampling_ratios))
        self.decoder = Decoder(UNet(sizes.estimator, causal=False))

    def encode(self, tokens: Tensor, valid: Tensor) -> Tensor:
        """Tokens [B, T] to columns [B, M, T]; `valid` [B, T] is False at padding."""
        embedded = self.input_embedding(tokens.clamp(0)) * valid[..., None]
        projected: Tensor = self.encoder_proj(self.encoder.encode(embedded, valid))
        return projected.mT

    @override
    def batch_mu(self, batch: FlowBatch, streaming: bool) -> tuple[Tensor, Tensor]:
        valid = length_mask(batch.num_tokens, batch.tokens.shape[1])
        columns, frames = self.encode(batch.tokens, valid), batch.mel.shape[-1]
        mask = length_mask(batch.num_frames, frames)[:, None].to(columns)
        return self.length_regulator((columns, frames)) * mask, mask

    def num_frames(self, num_tokens: int) -> int:
        """Frames of so many tokens."""
        return int(num_tokens / self.token_rate * MEL_RATE)

    def stretch(self, prompt: Tensor, columns: Tensor, prompt_frames: int) -> Tensor:
        """Columns of a prompt and of new tokens to mu [B, M, F]."""
        count = columns.shape[-1]
        parts = [(prompt, prompt_frames)]
        frames = self.num_frames(count)
        if count > 2 * END_TOKENS:
            end = self.num_frames(END_TOKENS)
            first, middle, last = columns.tensor_split((END_TOKENS, count - END_TOKENS), -1)
            parts += [(first, end), (middle, frames - 2 * end), (last, end)]
        else:
            parts.append((columns, frames))
        mu: Tensor = self.length_regulator(*parts)
        return mu

    @override
    def mel_of(
        self, tokens: Tensor, speaker: Tensor, prompt: FlowPrompt, options: SolverOptions
    ) -> Tensor:
        return self.generate(tokens, speaker, prompt, options)[0]

    @torch.no_grad()
    def generate(
        self,
        tokens: Tensor,
        speaker: Tensor,
        prompt: FlowPrompt,
        options: SolverOptions,
        noise: Tensor | None = None,
        cache: FlowCache | None = None,
    ) -> tuple[Tensor, FlowCache]:
        """The mel spectrogram [B, M, F] of tokens, without that of the prompt.

        Args:
            tokens: int64 [B, T].
            speaker: [B, W].
            prompt: B prompts of equal length.
            options: How the flow is solved.
            noise: [B, M, G + F]. None: always the same.
            cache: Of the call before, whose newest frames are the first ones of this call.

        Returns:
            The spectrogram, and what the next call may continue with.
        """
        joined = torch.cat((prompt.tokens, tokens), 1)
        columns = self.encode(joined, torch.ones_like(joined, dtype=torch.bool))
        first, prompt_frames = prompt.tokens.shape[1], prompt.mel.shape[-1]
        mu = self.stretch(columns[..., :first], columns[..., first:], prompt_frames)
        if noise is None:
            noise = whole_noise(self.num_mels, mu.shape[-1]).to(mu).expand_as(mu)
        if cache is not None:
            known = cache.mu.shape[-1]
            mu = torch.cat((cache.mu, mu[..., known:]), -1)
            noise = torch.cat((cache.noise, noise[..., known:]), -1)
        noise = options.temperature * noise
        mel = self.solve(
            noise, self.solver_inputs(mu, speaker, prompt.mel), replace(options, temperature=1.0)
        )

        def newest(x: Tensor) -> Tensor:
            return torch.cat((x[..., :prompt_frames], x[..., -_CACHED_FRAMES:]), -1)

        return mel[..., prompt_frames:], FlowCache(newest(noise), newest(mu))

    @override
    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Self:
        estimator = known(flat["estimator"], UNetSizes)
        estimator["channels"] = tuple(estimator["channels"])
        encoder = known(flat["encoder"], EncoderSizes) | {"input_size": flat["input_size"]}
        ratios = flat.get("length_regulator", {}).get("sampling_ratios", (1, 1, 1, 1))
        sizes = known(flat, CosyVoiceFlowSizes) | {
            "encoder": EncoderSizes(**encoder),
            "estimator": UNetSizes(**estimator),
            "sampling_ratios": tuple(ratios),
        }
        return cls(CosyVoiceFlowSizes(**sizes))

    @override
    def to_dict(self) -> dict[str, Any]:
        flat = asdict(self.sizes)
        del flat["encoder"]["input_size"]
        ratios = flat.pop("sampling_ratios")
        regulator = {"channels": self.num_mels, "sampling_ratios": list(ratios)}
        return {"kind": self.KIND, "model_type": self.KIND, "length_regulator": regulator, **flat}

    @override
    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        vocab_size, input_size = weights["input_embedding.weight"].shape
        output_size, speaker_size = weights["spk_embed_affine_layer.weight"].shape
        convolutions = sum(
            name.startswith("length_regulator.model.") and weight.ndim == 3
            for name, weight in weights.items()
        )
        if not convolutions:
            raise KeyError("length_regulator")
        return {
            "kind": cls.KIND,
            "vocab_size": vocab_size,
            "input_size": input_size,
            "output_size": output_size,
            "spk_embed_dim": speaker_size,
            "encoder": {
                "output_size": len(weights["encoder.after_norm.weight"]),
                "attention_heads": len(weights["encoder.encoders.0.self_attn.pos_bias_u"]),
                "linear_units": len(weights["encoder.encoders.0.feed_forward.w_1.weight"]),
                "num_blocks": count(weights, "encoder.encoders.{}.norm_mha.weight"),
            },
            "estimator": unet_sizes_of(weights),
            "length_regulator": {"sampling_ratios": [1] * (convolutions - 1)},
        }
