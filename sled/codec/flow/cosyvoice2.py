"""The flow of CosyVoice2 (Du et al. 2024): causal in chunks, with a look-ahead of three tokens.

Shapes: B batch, T tokens, F = 2 T frames, M mel bands; see `sled.codec.flow.base`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self, override

from sled.codec.flow.base import (
    Decoder,
    Flow,
    FlowBatch,
    FlowPrompt,
    fixed_noise,
    length_mask,
    noise_at,
)
from sled.codec.flow.encoder import UpsamplingEncoder, UpsamplingSizes
from sled.codec.flow.matching import SolverOptions
from sled.codec.flow.unet import UNet, UNetSizes
from sled.codec.network_files import count, known

FRAMES_PER_TOKEN = 2
LEFT_CHUNKS = 2
# Sizes that tensors do not tell, as published.
_HEADS, _HEAD_WIDTH = 8, 64


@dataclass(frozen=True, kw_only=True)
class ChunkedSizes:
    """The sizes of a flow with two frames for each token; defaults as published.

    Attributes:
        vocab_size: Number of tokens.
        input_size: Width of their embeddings.
        output_size: M.
        spk_embed_dim: Width of a speaker vector.
        input_frame_rate: Tokens per second.
        encoder: Of the encoder.
    """

    vocab_size: int = 6561
    input_size: int = 512
    output_size: int = 80
    spk_embed_dim: int = 192
    input_frame_rate: float = 25.0
    encoder: UpsamplingSizes = field(default_factory=lambda: default_encoder())


@dataclass(frozen=True, kw_only=True)
class CosyVoice2FlowSizes(ChunkedSizes):
    """The sizes of the flow.

    Attributes:
        estimator: Of the estimator.
    """

    estimator: UNetSizes = UNetSizes()


def default_encoder() -> UpsamplingSizes:
    """The published sizes."""
    return UpsamplingSizes(
        input_size=512,
        output_size=512,
        attention_heads=8,
        linear_units=2048,
        num_blocks=6,
        num_up_blocks=4,
    )


class ChunkedFlow(Flow):
    """A flow with two frames for each token, which can run in chunks.

    Args:
        sizes: Its sizes.

    Attributes:
        chunk: Tokens of a chunk in streaming.
        lookahead: Later tokens that a chunk depends on.
        left_frames: Newest frames that a stream attends to, beside its chunk and the prompt, as
            long as nothing else is asked for. The published code attends to all.
    """

    encoder: UpsamplingEncoder
    left_frames: int

    def __init__(self, sizes: ChunkedSizes) -> None:
        super().__init__()
        self.token_rate, self.vocab_size = sizes.input_frame_rate, sizes.vocab_size
        self.num_mels, self.speaker_size = sizes.output_size, sizes.spk_embed_dim
        self.chunk, self.lookahead = sizes.encoder.chunk, sizes.encoder.lookahead
        self.left_frames = LEFT_CHUNKS * FRAMES_PER_TOKEN * self.chunk
        self.spk_embed_affine_layer = nn.Linear(sizes.spk_embed_dim, sizes.output_size)
        self.encoder = UpsamplingEncoder(sizes.encoder)
        self.encoder_proj = nn.Linear(sizes.encoder.output_size, sizes.output_size)

    @abstractmethod
    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Tokens [B, T, ...] to embeddings [B, T, E]."""

    def chunk_after(self, position: int, prompt: int) -> int:
        """Tokens of the chunk that begins at a position.

        Args:
            position: Tokens before it.
            prompt: Those of the prompt.
        """
        return self.chunk

    def stage_at(self, position: int, prompt: int) -> int:
        """A number that is equal where all chunks from here on have the same sizes.

        Arguments as for `chunk_after`.
        """
        return 0

    def encode(self, tokens: Tensor, valid: Tensor, streaming: bool) -> Tensor:
        """Whole sequences of tokens [B, T, ...] to mu [B, M, F]; `valid` is [B, T]."""
        embedded = self.embed_tokens(tokens) * valid[..., None]
        states = self.encoder.encode(embedded, valid, self.chunk if streaming else 0)
        mu: Tensor = self.encoder_proj(states)
        return mu.mT

    @override
    def batch_mu(self, batch: FlowBatch, streaming: bool) -> tuple[Tensor, Tensor]:
        valid = length_mask(batch.num_tokens, batch.tokens.shape[1])
        mu = self.encode(batch.tokens, valid, streaming)
        mask = length_mask(FRAMES_PER_TOKEN * batch.num_tokens, mu.shape[-1])
        return mu, mask[:, None].to(mu)

    @torch.no_grad()
    def generate(
        self,
        tokens: Tensor,
        speaker: Tensor,
        prompt: FlowPrompt,
        options: SolverOptions,
        streaming: bool = False,
        noise: Tensor | None = None,
    ) -> Tensor:
        """The mel spectrogram [B, M, F] of tokens, without that of the prompt, in one pass.

        Args:
            tokens: int64 [B, T, ...].
            speaker: [B, W].
            prompt: B prompts of equal length.
            options: How the flow is solved.
            streaming: Whether it is to be what a stream would give.
            noise: [M, N] the noise of the frames from the first on. None: the fixed noise.
        """
        joined = torch.cat((prompt.tokens, tokens), 1)
        valid = torch.ones(joined.shape[:2], dtype=torch.bool, device=joined.device)
        mu = self.encode(joined, valid, streaming)
        start = torch.zeros(len(mu), dtype=torch.long, device=mu.device)
        noise = fixed_noise(self.num_mels) if noise is None else noise
        noise = noise_at(start, mu.shape[-1], noise)
        inputs = self.solver_inputs(mu, speaker, prompt.mel)
        mel = self.solve(noise, inputs, options, streaming)
        return mel[..., FRAMES_PER_TOKEN * prompt.tokens.shape[1] :]


class CosyVoice2Flow(ChunkedFlow):
    """The flow.

    Args:
        sizes: Its sizes.
    """

    KIND = "CausalMaskedDiffWithXvec"

    def __init__(self, sizes: CosyVoice2FlowSizes) -> None:
        super().__init__(sizes)
        self.sizes = sizes
        self.input_embedding = nn.Embedding(sizes.vocab_size, sizes.input_size)
        self.decoder = Decoder(UNet(sizes.estimator, causal=True))

    @override
    def embed_tokens(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.input_embedding(tokens.clamp(0))
        return embedded

    @override
    def estimator_chunk(self, streaming: bool) -> int:
        return self.sizes.estimator.static_chunk_size if streaming else 0

    @override
    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Self:
        estimator = known(flat["estimator"], UNetSizes)
        estimator["channels"] = tuple(estimator["channels"])
        sizes = known(flat, CosyVoice2FlowSizes) | {
            "encoder": encoder_sizes(flat),
            "estimator": UNetSizes(**estimator),
        }
        return cls(CosyVoice2FlowSizes(**sizes))

    @override
    def to_dict(self) -> dict[str, Any]:
        return config_of(self.KIND, self.sizes)

    @override
    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        return {
            "kind": cls.KIND,
            "vocab_size": len(weights["input_embedding.weight"]),
            **chunked_sizes_of(weights),
            "estimator": unet_sizes_of(weights),
        }


def encoder_sizes(flat: Mapping[str, Any]) -> UpsamplingSizes:
    """The sizes of the encoder, of the configuration of a flow."""
    given = flat["encoder"]
    lookahead = given.get("pre_lookahead_len", flat.get("pre_lookahead_len", 3))
    return UpsamplingSizes(
        **{**known(given, UpsamplingSizes), "input_size": flat["input_size"]},
        lookahead=lookahead,
        chunk=given.get("static_chunk_size", 25),
    )


def config_of(kind: str, sizes: ChunkedSizes) -> dict[str, Any]:
    """The content of `config.json`, with the published keys."""
    flat = asdict(sizes)
    encoder = flat["encoder"]
    del encoder["input_size"]
    flat["pre_lookahead_len"] = encoder.pop("lookahead")
    encoder["static_chunk_size"] = encoder.pop("chunk")
    return {"kind": kind, "model_type": kind, "token_mel_ratio": FRAMES_PER_TOKEN, **flat}


def chunked_sizes_of(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The sizes of embedding, speaker vector and encoder, of published weights."""
    width = len(weights["encoder.after_norm.weight"])
    output_size, speaker_size = weights["spk_embed_affine_layer.weight"].shape
    return {
        "input_size": weights["encoder.embed.out.0.weight"].shape[1],
        "output_size": output_size,
        "spk_embed_dim": speaker_size,
        "pre_lookahead_len": weights["encoder.pre_lookahead_layer.conv1.weight"].shape[2] - 1,
        "encoder": {
            "output_size": width,
            "attention_heads": len(weights["encoder.encoders.0.self_attn.pos_bias_u"]),
            "linear_units": len(weights["encoder.encoders.0.feed_forward.w_1.weight"]),
            "num_blocks": count(weights, "encoder.encoders.{}.norm_mha.weight"),
            "num_up_blocks": count(weights, "encoder.up_encoders.{}.norm_mha.weight"),
        },
    }


def unet_sizes_of(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The sizes of a U-net, of published weights."""
    block = "decoder.estimator.down_blocks.{}.0.block1.block.0.weight"
    levels = count(weights, block)
    inner = len(weights["decoder.estimator.down_blocks.0.1.0.attn1.to_q.weight"])
    heads = _HEADS if inner % (_HEADS * _HEAD_WIDTH) else inner // _HEAD_WIDTH
    return {
        "in_channels": weights[block.format(0)].shape[1],
        "out_channels": len(weights["decoder.estimator.final_proj.weight"]),
        "channels": [len(weights[block.format(level)]) for level in range(levels)],
        "attention_head_dim": inner // heads,
        "num_heads": heads,
        "n_blocks": count(weights, "decoder.estimator.down_blocks.0.1.{}.norm1.weight"),
        "num_mid_blocks": count(weights, "decoder.estimator.mid_blocks.{}.0.mlp.1.weight"),
    }
