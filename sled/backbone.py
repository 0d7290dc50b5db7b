"""A compact Llama decoder: RMS norms, rotary positions, SwiGLU, grouped-query attention.

Shapes: R rows, Q new positions, K positions attended, H hidden width, A heads, d head width.
The same layers run whole padded sequences in training (no cache: plain causal attention, since
padding sits on the right) and a few new positions of each row in decoding (a `KVCache`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sled.config import SpeechLlamaConfig


def rotary_tables(
    num_positions: int, head_dim: int, theta: float, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary position embedding (Su et al. 2021, eq. 15), [positions, d].

    Angles are computed in float32 whatever `dtype` is: bfloat16 cannot count past 256.
    """
    exponent = torch.arange(0, head_dim, 2, device=device, dtype=torch.float32) / head_dim
    position = torch.arange(num_positions, device=device, dtype=torch.float32)
    angle = torch.outer(position, 1.0 / theta**exponent).repeat(1, 2)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each head's halves by its position's angles; x [R, A, Q, d], tables [..., Q, d]."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


@dataclass
class KVCache:
    """Preallocated keys and values of R independent rows, each of its own length.

    A step appends `counts[r]` new positions to row r (`extend`); rows never see one another, nor
    the padding of a shorter neighbour, so a row's values do not depend on its company.

    Attributes:
        keys, values: [layers, R, A_kv, capacity, d].
        cos, sin: [capacity, d] rotary tables.
        lengths: Positions held by each of the R rows.
    """

    keys: Tensor
    values: Tensor
    cos: Tensor
    sin: Tensor
    lengths: list[int]
    # Where the step under way writes, and what it may attend to: the same for every layer.
    _rows: Tensor = field(init=False, repr=False)
    _positions: Tensor = field(init=False, repr=False)
    mask: Tensor = field(init=False, repr=False)

    @classmethod
    def allocate(
        cls,
        config: SpeechLlamaConfig,
        rows: int,
        capacity: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> KVCache:
        """An empty cache for `rows` rows of at most `capacity` positions, padding included."""
        layers, heads = config.num_hidden_layers, config.num_key_value_heads
        shape = (layers, rows, heads, capacity, config.head_dim)
        cos, sin = rotary_tables(capacity, config.head_dim, config.rope_theta, device, dtype)
        keys, values = (torch.zeros(shape, device=device, dtype=dtype) for _ in range(2))
        return cls(keys, values, cos, sin, [0] * rows)

    def extend(self, counts: list[int]) -> tuple[Tensor, Tensor]:
        """Make room for `counts[r]` new positions in each row, right-padded to the largest count.

        Returns:
            The rotary tables at the new positions, each [R, 1, Q, d].
        """
        device = self.keys.device
        start = torch.tensor(self.lengths, device=device)
        # A row's padding positions write garbage ahead of it, which its next real positions
        # overwrite before anything may attend to them.
        self._rows = torch.arange(len(counts), device=device)[:, None]
        self._positions = start[:, None] + torch.arange(max(counts), device=device)  # [R, Q]
        assert max(self.lengths) + max(counts) <= self.keys.shape[3], "the cache is full"
        self.lengths = [held + new for held, new in zip(self.lengths, counts, strict=True)]
        key_index = torch.arange(max(self.lengths), device=device)
        self.mask = (key_index <= self._positions[:, :, None])[:, None]  # [R, 1, Q, K]
        return self.cos[self._positions][:, None], self.sin[self._positions][:, None]

    def update(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values [R, A_kv, Q, d]; returns all [R, A_kv, K, d]."""
        self.keys[layer][self._rows, :, self._positions] = key.transpose(1, 2)
        self.values[layer][self._rows, :, self._positions] = value.transpose(1, 2)
        held = self.mask.shape[-1]
        return self.keys[layer, :, :, :held], self.values[layer, :, :, :held]

    def select(self, rows: list[int]) -> None:
        """Keep only the given rows, in that order."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]
        self.lengths = [self.lengths[row] for row in rows]


class Attention(nn.Module):
    """Multi-head attention with rotary positions and optional grouped keys and values."""

    def __init__(self, config: SpeechLlamaConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_dim = config.head_dim
        self.grouped = config.num_key_value_heads < config.num_attention_heads
        self.dropout = config.attention_dropout
        query_width = config.num_attention_heads * config.head_dim
        key_width = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, query_width, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, key_width, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, key_width, bias=False)
        self.o_proj = nn.Linear(query_width, config.hidden_size, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: KVCache | None) -> Tensor:
        split = (*x.shape[:2], -1, self.head_dim)
        query = rotate(self.q_proj(x).view(split).transpose(1, 2), cos, sin)
        key = rotate(self.k_proj(x).view(split).transpose(1, 2), cos, sin)
        value = self.v_proj(x).view(split).transpose(1, 2)
        if cache is not None:
            key, value = cache.update(self.layer, key, value)
        attended = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if cache is None else cache.mask,
            is_causal=cache is None,
            dropout_p=self.dropout if self.training else 0.0,
            enable_gqa=self.grouped,
        )
        return self.o_proj(attended.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020): down(silu(gate(x)) * up(x))."""

    def __init__(self, config: SpeechLlamaConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.activation_dropout = config.activation_dropout

    def forward(self, x: Tensor) -> Tensor:
        gated = F.silu(self.gate_proj(x)) * self.up_proj(x)
        return self.down_proj(F.dropout(gated, self.activation_dropout, self.training))


class DecoderLayer(nn.Module):
    """Pre-norm attention and MLP, with dropout before each residual sum."""

    def __init__(self, config: SpeechLlamaConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.mlp = MLP(config)
        self.dropout = config.dropout

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: KVCache | None) -> Tensor:
        attended = self.self_attn(self.input_layernorm(x), cos, sin, cache)
        x = x + F.dropout(attended, self.dropout, self.training)
        gated = self.mlp(self.post_attention_layernorm(x))
        return x + F.dropout(gated, self.dropout, self.training)


class Backbone(nn.Module):
    """Token embedding, decoder layers and the final norm: everything named `model.*` on disk."""

    def __init__(self, config: SpeechLlamaConfig) -> None:
        super().__init__()
        self.head_dim, self.rope_theta = config.head_dim, config.rope_theta
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            DecoderLayer(config, layer) for layer in range(config.num_hidden_layers)
        )
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(
        self, embeddings: Tensor, cache: KVCache | None = None, counts: list[int] | None = None
    ) -> Tensor:
        """Run the layers over input embeddings.

        Args:
            embeddings: [R, Q, H]; right-padded.
            cache: What each row has read before; grown in place. None: rows start at position 0.
            counts: With a cache, how many of the Q positions are real in each row.

        Returns:
            Normalised hidden states [R, Q, H]; meaningless at padding.
        """
        if cache is None:
            cos, sin = rotary_tables(
                embeddings.shape[1],
                self.head_dim,
                self.rope_theta,
                embeddings.device,
                embeddings.dtype,
            )
        else:
            assert counts is not None, "a cache needs the rows' counts"
            cos, sin = cache.extend(counts)
        x = embeddings
        for layer in self.layers:
            x = layer(x, cos, sin, cache)
        return self.norm(x)
