"""A stack of pre-norm layers whose attention also scores how far apart two positions are.

The score of a key at position j for a query at position i is (Dai et al. 2019, section 3.3)

    ((q_i + u) . k_j + (q_i + v) . W r(i - j)) / sqrt(d)

where r(p) has sin(p w_c) and cos(p w_c) for frequencies w_c. By the addition theorems, the second
term is a product of two vectors, of which one depends on i and the other is the cosines and sines
of j. So nothing is computed for each distance, and a cache needs only keys and values.

Shapes: E width of inputs, H width, A heads, d head width; [...] is [P] packed positions, or [R, Q].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sled.model.backbone import DistanceContext, PackedSequences

# Base of the frequencies, as for rotary positions.
THETA = 10_000.0
_LAYER_EPSILON = 1e-12


@dataclass(frozen=True, kw_only=True)
class StackSizes:
    """The sizes of a stack.

    Attributes:
        input_size: E.
        output_size: H.
        attention_heads: A.
        linear_units: Width of the feed-forward layers.
        num_blocks: Number of layers.
        dropout_rate: Dropout on inputs, on both residual branches and inside feed-forward layers,
            in training.
        positional_dropout_rate: That on scaled inputs. None: as `dropout_rate`.
        attention_dropout_rate: That on attention weights.
    """

    input_size: int
    output_size: int
    attention_heads: int
    linear_units: int
    num_blocks: int
    dropout_rate: float = 0.1
    positional_dropout_rate: float | None = None
    attention_dropout_rate: float = 0.0


class RelativeAttention(nn.Module):
    """Attention of one layer. Attributes have the published tensor names."""

    def __init__(self, sizes: StackSizes, layer: int) -> None:
        super().__init__()
        width = sizes.output_size
        self.layer, self.heads = layer, (sizes.attention_heads, width // sizes.attention_heads)
        self.dropout = nn.Dropout(sizes.attention_dropout_rate)
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width)
        self.linear_v = nn.Linear(width, width)
        self.linear_out = nn.Linear(width, width)
        self.linear_pos = nn.Linear(width, width, bias=False)
        self.pos_bias_u = nn.Parameter(nn.init.xavier_uniform_(torch.empty(self.heads)))
        self.pos_bias_v = nn.Parameter(nn.init.xavier_uniform_(torch.empty(self.heads)))

    def forward(self, x: Tensor, context: DistanceContext) -> Tensor:
        """Attend from inputs [..., H] to what the context holds; returns [..., H]."""
        query, key, value = (
            project(x).unflatten(-1, self.heads)
            for project in (self.linear_q, self.linear_k, self.linear_v)
        )
        by_content = query + self.pos_bias_u
        by_distance = self._by_distance(query + self.pos_bias_v, context)
        dropout = self.dropout.p if self.training else 0.0
        attended = context.attend_by_distance(
            self.layer, by_content, key, value, by_distance, dropout
        )
        output: Tensor = self.linear_out(attended.flatten(-2))
        return output

    def _by_distance(self, query: Tensor, context: DistanceContext) -> Tensor:
        """What the cosines and sines [H] of a key's position are multiplied with, [..., A, H]."""
        weight = self.linear_pos.weight.view(*self.heads, -1)  # [A, d, H]
        projected = torch.einsum("...ad,adh->...ah", query, weight) / self.heads[1] ** 0.5
        of_sine, of_cosine = projected[..., 0::2], projected[..., 1::2]
        cos, sin = (table[..., : of_sine.shape[-1]] for table in (context.cos, context.sin))
        return torch.cat((of_sine * sin + of_cosine * cos, of_cosine * sin - of_sine * cos), -1)


class FeedForward(nn.Module):
    """Two linear layers with an activation between."""

    def __init__(self, sizes: StackSizes, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.w_1 = nn.Linear(sizes.output_size, sizes.linear_units)
        self.w_2 = nn.Linear(sizes.linear_units, sizes.output_size)
        self.activation, self.dropout = activation, nn.Dropout(sizes.dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs [..., H] to outputs [..., H]."""
        output: Tensor = self.w_2(self.dropout(self.activation(self.w_1(x))))
        return output


class RelativeLayer(nn.Module):
    """Pre-norm attention and feed-forward layers; subclasses have the published names."""

    NORMS: ClassVar[tuple[str, str]]
    ACTIVATION: ClassVar[Callable[[Tensor], Tensor]]

    def __init__(self, sizes: StackSizes, layer: int) -> None:
        super().__init__()
        self.self_attn = RelativeAttention(sizes, layer)
        self.feed_forward = FeedForward(sizes, type(self).ACTIVATION)
        self.dropout = nn.Dropout(sizes.dropout_rate)
        for name in self.NORMS:
            self.add_module(name, nn.LayerNorm(sizes.output_size, eps=_LAYER_EPSILON))

    def forward(self, x: Tensor, context: DistanceContext) -> Tensor:
        """Run the layer on inputs [..., H]; returns [..., H]."""
        attention_norm, feed_forward_norm = (self.get_submodule(name) for name in self.NORMS)
        x = x + self.dropout(self.self_attn(attention_norm(x), context))
        output: Tensor = x + self.dropout(self.feed_forward(feed_forward_norm(x)))
        return output


class ConformerLayer(RelativeLayer):
    """A Conformer layer without convolution."""

    NORMS = ("norm_mha", "norm_ff")
    ACTIVATION = F.silu


class TransformerLayer(RelativeLayer):
    """A Transformer layer."""

    NORMS = ("norm1", "norm2")
    ACTIVATION = F.relu


class InputLayer(nn.Module):
    """Projects inputs to the width of a stack, and scales them by its root."""

    def __init__(self, sizes: StackSizes, rectify: bool) -> None:
        super().__init__()
        self.out = nn.Sequential(
            nn.Linear(sizes.input_size, sizes.output_size), nn.LayerNorm(sizes.output_size)
        )
        self.rectify, self.scale = rectify, sizes.output_size**0.5
        positional = sizes.positional_dropout_rate
        self.dropout = nn.Dropout(sizes.dropout_rate)
        self.scaled_dropout = nn.Dropout(sizes.dropout_rate if positional is None else positional)

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs [..., E] to [..., H]."""
        projected: Tensor = self.dropout(self.out(x))
        if self.rectify:
            projected = F.relu(projected)
        # Of the positions, none is dropped.
        scaled: Tensor = self.scaled_dropout(self.scale * projected)
        return scaled


class RelativeStack(nn.Module):
    """Input layer, layers and final norm; every position sees itself and those before it.

    Args:
        sizes: The sizes.
        kind: The class of the layers.
        rectify: Whether the input layer ends with a rectifier.
    """

    def __init__(self, sizes: StackSizes, kind: type[RelativeLayer], rectify: bool) -> None:
        super().__init__()
        self.rotary_dim = sizes.output_size
        self.embed = InputLayer(sizes, rectify)
        self.encoders = nn.ModuleList(kind(sizes, layer) for layer in range(sizes.num_blocks))
        self.after_norm = nn.LayerNorm(sizes.output_size)
        # As in `Backbone`.
        self.gradient_checkpointing = False
        self._gradient_checkpointing_func: Callable[..., Tensor] = checkpoint

    def pack(self, lengths: list[int], like: Tensor) -> PackedSequences:
        """Make the context of whole sequences."""
        return PackedSequences(lengths, self.rotary_dim, THETA, like)

    def forward(self, inputs: Tensor, context: DistanceContext) -> Tensor:
        """Return states [..., H] of inputs [..., E]."""
        x = self.embed(inputs)
        for layer in self.encoders:
            if self.gradient_checkpointing and self.training:
                x = self._gradient_checkpointing_func(layer.__call__, x, context)
            else:
                x = layer(x, context)
        states: Tensor = self.after_norm(x)
        return states
