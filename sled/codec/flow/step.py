"""The flow of Step-Audio-EditX: rows of two tokens, and a diffusion transformer.

`sled.codec.speech_tokens.dual.align_codebooks` makes the rows of mixed tokens. See
`sled.codec.flow.base` for the shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self, override

from sled.codec.flow.base import Decoder
from sled.codec.flow.cosyvoice2 import (
    FRAMES_PER_TOKEN,
    ChunkedFlow,
    ChunkedSizes,
    chunked_sizes_of,
    config_of,
    encoder_sizes,
)
from sled.codec.flow.dit import DiT, DiTSizes
from sled.codec.network_files import count, known


@dataclass(frozen=True, kw_only=True)
class StepFlowSizes(ChunkedSizes):
    """The sizes of the flow.

    Attributes:
        estimator: Of the estimator.
        chunk_sizes: Tokens of the first chunks of a stream after the prompt, which is one; the last
            number holds for all later ones.
    """

    vocab_size: int = 5121
    chunk_sizes: tuple[int, ...] = (15, 24, 48)
    estimator: DiTSizes = DiTSizes()

    def __post_init__(self) -> None:
        if not self.chunk_sizes or min(self.chunk_sizes) < 1:
            raise ValueError(f"chunks of {self.chunk_sizes} tokens: name sizes of at least 1")


class PairEmbedding(nn.Module):
    """Rows of two tokens to vectors, of which each token makes a half."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width // 2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [B, T, 2] to [B, T, E]."""
        # Not flattened, which ONNX cannot do for no rows.
        embedded: Tensor = torch.cat(self.embedding(tokens).unbind(-2), -1)
        return embedded


class StepFlow(ChunkedFlow):
    """The flow.

    Args:
        sizes: Its sizes.
    """

    KIND = "StepAudio CausalMaskedDiffWithXvec"
    token_shape = (2,)

    def __init__(self, sizes: StepFlowSizes) -> None:
        super().__init__(sizes)
        self.sizes = sizes
        self.input_embedding = PairEmbedding(sizes.vocab_size, sizes.input_size)
        self.decoder = Decoder(DiT(sizes.estimator))
        # The published code keeps 96 frames, which is the longest chunk.
        self.left_frames = FRAMES_PER_TOKEN * sizes.chunk_sizes[-1]

    @override
    def embed_tokens(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.input_embedding(tokens.clamp(0))
        return embedded

    @override
    def chunk_after(self, position: int, prompt: int) -> int:
        stage = self.stage_at(position, prompt)
        return self.sizes.chunk_sizes[stage - 1] if stage else prompt - position

    @override
    def stage_at(self, position: int, prompt: int) -> int:
        if position < prompt:
            return 0
        ends = accumulate(self.sizes.chunk_sizes[:-1])
        return 1 + sum(end <= position - prompt for end in ends)

    @override
    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Self:
        sizes = known(flat, StepFlowSizes) | {
            "encoder": encoder_sizes(flat),
            "estimator": DiTSizes(**known(flat["estimator"], DiTSizes)),
            "chunk_sizes": tuple(flat.get("chunk_sizes", StepFlowSizes.chunk_sizes)),
        }
        return cls(StepFlowSizes(**sizes))

    @override
    def to_dict(self) -> dict[str, Any]:
        return config_of(self.KIND, self.sizes)

    @override
    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        estimator = "decoder.estimator."
        width = len(weights[f"{estimator}in_proj.weight"])
        return {
            "kind": cls.KIND,
            "vocab_size": len(weights["input_embedding.embedding.weight"]),
            **chunked_sizes_of(weights),
            "estimator": {
                "in_channels": weights[f"{estimator}in_proj.weight"].shape[1],
                "out_channels": len(weights[f"{estimator}final_layer.linear.weight"]),
                "hidden_size": width,
                "depth": count(weights, estimator + "blocks.{}.attn.to_q.weight"),
                "head_dim": len(weights[f"{estimator}blocks.0.attn.q_norm.weight"]),
                "num_heads": len(weights[f"{estimator}blocks.0.attn.to_q.weight"])
                // len(weights[f"{estimator}blocks.0.attn.q_norm.weight"]),
                "mlp_ratio": len(weights[f"{estimator}blocks.0.mlp.fc1.weight"]) / width,
            },
        }
