"""A compact Llama decoder: RMS norms, rotary positions, SwiGLU, grouped-query attention.

An attention context knows which positions attend to each other; the layers do not. In training it
is `PackedSequences`, whole sequences in one tensor without padding. In decoding it is a `KVCache`,
with a few new positions of each row.

Shapes: P packed positions, R rows, Q new positions, K positions attended, H hidden width, A heads,
d head width; [...] is [P] or [R, Q].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from typing_extensions import override

from sled.model.config import Architecture, Objective


def rotary_tables(
    num_positions: int, head_dim: int, theta: float, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary position embedding (Su et al. 2021, eq. 15), [positions, d].

    Angles are computed in float32 for any `dtype`: bfloat16 has no odd integers above 256.
    """
    position = torch.arange(num_positions, device=device, dtype=torch.float32)
    return rotary_tables_at(position, head_dim, theta, dtype)


def rotary_tables_at(
    position: Tensor, head_dim: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """`rotary_tables` of these positions, float32 [positions]."""
    exponent = torch.arange(0, head_dim, 2, device=position.device, dtype=torch.float32) / head_dim
    angle = torch.outer(position, 1.0 / theta**exponent).repeat(1, 2)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each head's halves by its position's angles; x [..., A, d], tables [..., 1, d]."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class AttentionContext(Protocol):
    """What the layers need to know about the positions that they run on."""

    cos: Tensor
    sin: Tensor
    """Rotary tables of the positions, [..., 1, d]."""

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, dropout: float
    ) -> Tensor:
        """Attend from each position to those it may see.

        Args:
            layer: Number of the layer.
            query: [..., A, d], rotated, as is `key`.
            key: [..., A, d]; it may have fewer heads.
            value: [..., A, d]; it has as many heads as `key`.
            dropout: Probability of dropping an attention weight.

        Returns:
            [..., A, d].
        """
        ...


class DistanceContext(AttentionContext, Protocol):
    """A context whose scores may also depend on how far apart two positions are."""

    def attend_by_distance(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        by_distance: Tensor,
        dropout: float,
    ) -> Tensor:
        """Attend from each position to those it may see.

        Args:
            layer: Number of the layer.
            query: [..., A, d].
            key: [..., A, d].
            value: [..., A, d].
            by_distance: [..., A, E] factors of the cosines and sines of the positions attended to,
                as `position_vectors` returns them; the products are added to the scores.
            dropout: Probability of dropping an attention weight.

        Returns:
            [..., A, d].
        """
        ...


class PackedSequences(DistanceContext):
    """Sequences, concatenated to P positions; each attends to its own sequence up to itself.

    On an accelerator, attention runs on right-padded sequences: causality hides the padding, so no
    mask is needed and the fastest kernels apply. On a CPU, padding costs more than a call, so the
    sequences are attended one by one, unless the layers are compiled.

    Args:
        lengths: Lengths of the sequences; their sum is P.
        head_dim: Width d of a head, or of the rotary tables if positions are scored by distance.
        theta: Base of the rotary angles.
        like: A tensor on the device and of the type of the inputs.
        watch: A layer whose queries and keys are kept in `watched`. None: no layer.
    """

    watched: tuple[Tensor, Tensor] | None = None
    """Rotated queries and keys [P, A, d] of the watched layer, once it has run."""

    def __init__(
        self,
        lengths: list[int],
        head_dim: int,
        theta: float,
        like: Tensor,
        watch: int | None = None,
    ) -> None:
        longest, device = max(lengths), like.device
        self.watch, self.lengths = watch, lengths
        self.one_by_one = device.type == "cpu"
        self.shape = (len(lengths), longest)
        length = torch.tensor(lengths)[:, None]
        # [P] index of each position in the padded batch.
        slot = (torch.arange(longest) < length).flatten().nonzero().squeeze(1)
        self.slot = slot.to(device)
        self.is_rectangular = len(slot) == len(lengths) * longest
        cos, sin = rotary_tables(longest, head_dim, theta, device, like.dtype)
        self._tables = (cos, sin)  # [longest, d]
        position = (slot % longest).to(device)
        self.cos, self.sin = cos[position][:, None], sin[position][:, None]

    def _pad(self, x: Tensor) -> Tensor:
        """[P, A, d] to [B, A, longest, d]."""
        if not self.is_rectangular:
            padded = x.new_zeros(self.shape[0] * self.shape[1], *x.shape[1:])
            x = padded.index_copy(0, self.slot, x)
        return x.view(*self.shape, *x.shape[1:]).transpose(1, 2)

    @override
    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, dropout: float
    ) -> Tensor:
        if layer == self.watch:
            self.watched = (query, key)
        # A compiled layer would be compiled again for every number of sequences.
        if self.one_by_one and not self.is_rectangular and not torch.compiler.is_compiling():
            sequences = (
                torch.split(x.transpose(0, 1)[None], self.lengths, 2) for x in (query, key, value)
            )
            alone = [_attend(q, k, v, dropout) for q, k, v in zip(*sequences, strict=True)]
            return torch.cat(alone, 2)[0].transpose(0, 1)
        attended = _attend(self._pad(query), self._pad(key), self._pad(value), dropout)
        flat = attended.transpose(1, 2).flatten(0, 1)
        return flat if self.is_rectangular else flat[self.slot]

    @override
    def attend_by_distance(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        by_distance: Tensor,
        dropout: float,
    ) -> Tensor:
        attended = []
        vectors = position_vectors(*self._tables)
        parts = (torch.split(x, self.lengths) for x in (query, key, value, by_distance))
        for q, k, v, factors in zip(*parts, strict=True):
            scores = factors.transpose(0, 1) @ vectors[: len(k)].T  # [A, L, L]
            later = torch.ones_like(scores[0], dtype=torch.bool).triu(1)
            alone = F.scaled_dot_product_attention(
                q.transpose(0, 1)[None],
                k.transpose(0, 1)[None],
                v.transpose(0, 1)[None],
                attn_mask=scores.masked_fill(later, -torch.inf)[None],
                dropout_p=dropout,
            )
            attended.append(alone[0].transpose(0, 1))
        return torch.cat(attended)


def position_vectors(cos: Tensor, sin: Tensor) -> Tensor:
    """Cosines and sines [positions, E] of all angles of rotary tables, each [positions, E]."""
    half = cos.shape[-1] // 2  # the tables have every angle twice
    return torch.cat((cos[..., :half], sin[..., :half]), -1)


def _attend(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
    """Causal attention of sequences [B, A, L, d]; key and value may have fewer heads A."""
    attended: Tensor = F.scaled_dot_product_attention(
        query,
        key,
        value,
        is_causal=True,
        dropout_p=dropout,
        enable_gqa=key.shape[1] < query.shape[1],
    )
    return attended


class Attention(nn.Module):
    """Multi-head attention with rotary positions and optional grouped keys and values."""

    def __init__(
        self, architecture: Architecture, objective: Objective, layer: int, qkv_bias: bool = False
    ) -> None:
        super().__init__()
        self.layer = layer
        self.head_dim = architecture.head_dim
        self.dropout = objective.attention_dropout
        query_width = architecture.num_attention_heads * architecture.head_dim
        key_width = architecture.num_key_value_heads * architecture.head_dim
        self.q_proj = nn.Linear(architecture.hidden_size, query_width, bias=qkv_bias)
        self.k_proj = nn.Linear(architecture.hidden_size, key_width, bias=qkv_bias)
        self.v_proj = nn.Linear(architecture.hidden_size, key_width, bias=qkv_bias)
        self.o_proj = nn.Linear(query_width, architecture.hidden_size, bias=False)

    def forward(self, x: Tensor, context: AttentionContext) -> Tensor:
        """Attend from inputs [..., H] to what the context holds; returns [..., H]."""
        heads = (-1, self.head_dim)
        query = rotate(self.q_proj(x).unflatten(-1, heads), context.cos, context.sin)
        key = rotate(self.k_proj(x).unflatten(-1, heads), context.cos, context.sin)
        value = self.v_proj(x).unflatten(-1, heads)
        dropout = self.dropout if self.training else 0.0
        attended = context.attend(self.layer, query, key, value, dropout)
        output: Tensor = self.o_proj(attended.flatten(-2))
        return output


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020): down(silu(gate(x)) * up(x))."""

    def __init__(self, architecture: Architecture, objective: Objective) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(
            architecture.hidden_size, architecture.intermediate_size, bias=False
        )
        self.up_proj = nn.Linear(
            architecture.hidden_size, architecture.intermediate_size, bias=False
        )
        self.down_proj = nn.Linear(
            architecture.intermediate_size, architecture.hidden_size, bias=False
        )
        self.activation_dropout = objective.activation_dropout

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs [..., H] to outputs [..., H]."""
        gated = F.silu(self.gate_proj(x)) * self.up_proj(x)
        output: Tensor = self.down_proj(F.dropout(gated, self.activation_dropout, self.training))
        return output


class DecoderLayer(nn.Module):
    """Pre-norm attention and MLP, with dropout before each residual sum."""

    def __init__(
        self,
        architecture: Architecture,
        objective: Objective,
        layer: int,
        qkv_bias: bool = False,
        make_mlp: Callable[[Architecture, Objective], nn.Module] = MLP,
    ) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(architecture.hidden_size, eps=architecture.rms_norm_eps)
        self.self_attn = Attention(architecture, objective, layer, qkv_bias)
        self.post_attention_layernorm = nn.RMSNorm(
            architecture.hidden_size, eps=architecture.rms_norm_eps
        )
        self.mlp = make_mlp(architecture, objective)
        self.dropout = objective.dropout

    def forward(self, x: Tensor, context: AttentionContext) -> Tensor:
        """Run the layer on inputs [..., H]; returns [..., H]."""
        attended = self.self_attn(self.input_layernorm(x), context)
        x = x + F.dropout(attended, self.dropout, self.training)
        gated = self.mlp(self.post_attention_layernorm(x))
        return x + F.dropout(gated, self.dropout, self.training)


class Backbone(nn.Module):
    """Token embedding, decoder layers and final norm: the tensors named `model.*` on disk.

    Args:
        architecture: Sizes.
        objective: Dropout.
        qkv_bias: Whether the projections to queries, keys and values have biases, as in Qwen2.
        make_mlp: Makes the MLP of a layer.
    """

    def __init__(
        self,
        architecture: Architecture,
        objective: Objective,
        qkv_bias: bool = False,
        make_mlp: Callable[[Architecture, Objective], nn.Module] = MLP,
    ) -> None:
        super().__init__()
        self.rotary_dim, self.rope_theta = architecture.head_dim, architecture.rope_theta
        self.embed_tokens = nn.Embedding(architecture.vocab_size, architecture.hidden_size)
        self.layers = nn.ModuleList(
            DecoderLayer(architecture, objective, layer, qkv_bias, make_mlp)
            for layer in range(architecture.num_hidden_layers)
        )
        self.norm = nn.RMSNorm(architecture.hidden_size, eps=architecture.rms_norm_eps)
        # transformers' `gradient_checkpointing_enable` sets both.
        self.gradient_checkpointing = False
        self._gradient_checkpointing_func: Callable[..., Tensor] = checkpoint

    @torch.no_grad()
    def initialize(self, std: float) -> None:
        """Give linear layers and embeddings normal weights of this deviation, and no biases."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def pack(self, lengths: list[int], like: Tensor, watch: int | None = None) -> PackedSequences:
        """Make the context of whole sequences, see `PackedSequences`."""
        return PackedSequences(lengths, self.rotary_dim, self.rope_theta, like, watch)

    def forward(self, embeddings: Tensor, context: AttentionContext) -> Tensor:
        """Run the layers over input embeddings [..., H].

        Returns:
            Hidden states [..., H] after the final norm; meaningless at padding.
        """
        x = embeddings
        for layer in self.layers:
            if self.gradient_checkpointing and self.training:
                x = self._gradient_checkpointing_func(layer.__call__, x, context)
            else:
                x = layer(x, context)
        hidden: Tensor = self.norm(x)
        return hidden


def checkpoint_layers(module: nn.Module, settings: Mapping[str, Any] | None = None) -> None:
    """Let all stacks of layers in a module compute states again in the backward pass.

    It saves memory in training.

    Args:
        module: The module.
        settings: Of `torch.utils.checkpoint.checkpoint`. None: those that torch recommends.
    """
    chosen = settings or {"use_reentrant": False}
    for stack in module.modules():
        if hasattr(stack, "_gradient_checkpointing_func"):
            stack.gradient_checkpointing = True  # type: ignore[assignment]
            stack._gradient_checkpointing_func = partial(checkpoint, **chosen)  # type: ignore[assignment]
