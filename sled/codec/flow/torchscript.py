"""Text encoder, decoder and flow encoder of CosyVoice as TorchScript, with the published interface.

The published code loads such files in the place of its own modules (`load_jit=True`). Layers are
written here without the contexts and memories of `sled.model`, which TorchScript cannot read.

Shapes: B batch, T tokens, F frames, which are 2 T, E width of inputs, H width, A heads, d head
width, K positions attended; a cache is [layers, A, K, 2 d].
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sled.codec.flow.base import Flow
from sled.codec.flow.cosyvoice import CosyVoiceFlow
from sled.codec.flow.cosyvoice2 import CosyVoice2Flow
from sled.codec.flow.encoder import UpsamplingEncoder
from sled.model.tokens.cosyvoice import CosyVoiceLM
from sled.model.tokens.relative_attention import (
    THETA,
    ConformerLayer,
    InputLayer,
    RelativeLayer,
    RelativeStack,
)

NO_CACHE = torch.zeros(0, 0, 0, 0)


class _Layer(nn.Module):
    """A layer of any stack."""

    def __init__(self, layer: RelativeLayer) -> None:
        super().__init__()
        attention = layer.self_attn
        self.heads, self.width = attention.heads
        self.norm1, self.norm2 = (layer.get_submodule(name) for name in layer.NORMS)
        self.linear_q, self.linear_k = attention.linear_q, attention.linear_k
        self.linear_v, self.linear_out = attention.linear_v, attention.linear_out
        self.linear_pos = attention.linear_pos
        self.pos_bias_u, self.pos_bias_v = attention.pos_bias_u, attention.pos_bias_v
        self.w_1, self.w_2 = layer.feed_forward.w_1, layer.feed_forward.w_2
        self.silu = isinstance(layer, ConformerLayer)

    def forward(
        self, x: Tensor, table: Tensor, mask: Tensor, cache: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run the layer.

        Args:
            x: [B, T, H].
            table: [K, H / 2, 2] cosines and sines of the positions attended, the last T of them
                those of the inputs.
            mask: bool [B, 1, T or 1, K], False where nothing is seen.
            cache: [1, A, K - T, 2 d], or nothing.

        Returns:
            [B, T, H], and the new cache.
        """
        y, count = self.norm1(x), x.shape[1]
        shape = [x.shape[0], count, self.heads, self.width]
        query = self.linear_q(y).view(shape)
        key = self.linear_k(y).view(shape).transpose(1, 2)
        value = self.linear_v(y).view(shape).transpose(1, 2)
        if cache.numel() > 0:
            old_key, old_value = torch.split(cache, self.width, -1)
            key, value = torch.cat((old_key, key), 2), torch.cat((old_value, value), 2)
        by_content = (query + self.pos_bias_u).transpose(1, 2) @ key.transpose(2, 3)
        scores = (by_content + self._by_distance(query + self.pos_bias_v, table)) / self.width**0.5
        weights = scores.masked_fill(~mask, -float("inf")).softmax(-1).masked_fill(~mask, 0.0)
        attended = (weights @ value).transpose(1, 2).flatten(2)
        x = x + self.linear_out(attended)
        y = self.w_1(self.norm2(x))
        x = x + self.w_2(F.silu(y) if self.silu else F.relu(y))
        return x, torch.cat((key, value), -1)

    def _by_distance(self, query: Tensor, table: Tensor) -> Tensor:
        """The scores [B, A, T, K] of distances; see `sled.model.tokens.relative_attention`."""
        weight = self.linear_pos.weight.view(self.heads, self.width, -1)
        projected = torch.einsum("btad,adh->bath", query, weight)
        of_sine, of_cosine = projected[..., 0::2], projected[..., 1::2]
        cos, sin = table.unbind(-1)  # [K, H / 2]
        own_cos, own_sin = cos[-query.shape[1] :], sin[-query.shape[1] :]
        first = of_sine * own_sin + of_cosine * own_cos
        second = of_cosine * own_sin - of_sine * own_cos
        scores: Tensor = first @ cos.transpose(0, 1) + second @ sin.transpose(0, 1)
        return scores


class _Input(nn.Module):
    """Projects inputs."""

    def __init__(self, layer: InputLayer) -> None:
        super().__init__()
        self.out, self.rectify, self.scale = layer.out, layer.rectify, layer.scale

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.out(x)
        scaled: Tensor = self.scale * (F.relu(projected) if self.rectify else projected)
        return scaled


def _table(count: int, width: int, theta: float, like: Tensor) -> Tensor:
    """Cosines and sines [count, width / 2, 2] of the first positions; `theta` is their base."""
    # As `sled.codec.exact`, which TorchScript cannot read.
    device = torch.device("cpu") if like.device.type == "mps" else like.device
    half = torch.arange(0, width, 2, device=device, dtype=torch.float64)
    position = torch.arange(count, device=device, dtype=torch.float64)
    angle = position[:, None] * torch.pow(theta, -half / width)
    return torch.stack((angle.cos(), angle.sin()), -1).to(like.dtype).to(like.device)


def _valid(lengths: Tensor, longest: int) -> Tensor:
    """Whether positions are within lengths, [B, 1, longest]."""
    position = torch.arange(longest, device=lengths.device)
    return (position < lengths[:, None])[:, None]


def _in_chunks(valid: Tensor, chunk: int) -> Tensor:
    """Which positions see which, [B, 1, 1 or T, T]; chunk 0: all."""
    if chunk <= 0:
        return valid[:, None]
    position = torch.arange(valid.shape[2], device=valid.device)
    ends = (torch.div(position, chunk, rounding_mode="floor") + 1) * chunk
    return valid[:, None] & (position < ends[:, None])


class PlainStack(nn.Module):
    """A stack with a state for each position: encoders of CosyVoice, and its decoder.

    Args:
        stack: The stack.
        chunk: Positions that see each other. 0: all.
    """

    def __init__(self, stack: RelativeStack, chunk: int) -> None:
        super().__init__()
        self.embed, self.after_norm = _Input(stack.embed), stack.after_norm
        self.encoders = nn.ModuleList(
            _Layer(one) for one in stack.encoders if isinstance(one, RelativeLayer)
        )
        self.width, self.theta, self.chunk = stack.rotary_dim, THETA, chunk

    def forward(
        self,
        xs: Tensor,
        xs_lens: Tensor,
        decoding_chunk_size: int = 0,
        num_decoding_left_chunks: int = -1,
    ) -> tuple[Tensor, Tensor]:
        """Whole sequences [B, T, E] to states [B, T, H], and what is not padding, [B, 1, T].

        The last two arguments are without effect.
        """
        valid, x = _valid(xs_lens, xs.shape[1]), self.embed(xs)
        mask, table = _in_chunks(valid, self.chunk), _table(x.shape[1], self.width, self.theta, x)
        nothing = x.new_zeros(0, 0, 0, 0)
        for layer in self.encoders:
            x, _ = layer(x, table, mask, nothing)
        return self.after_norm(x), valid

    @torch.jit.export
    def forward_chunk(
        self,
        xs: Tensor,
        offset: int,
        required_cache_size: int,
        att_cache: Tensor = NO_CACHE,
        cnn_cache: Tensor = NO_CACHE,
        att_mask: Tensor = torch.ones(0, 0, 0, dtype=torch.bool),  # noqa: B008 (as published)
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The next positions [1, T, E] to states [1, T, H]; also the new caches.

        All that came before is remembered, whatever `required_cache_size` is, as where it is -1.
        """
        x = self.embed(xs)
        before = att_cache.shape[2] if att_cache.numel() > 0 else 0
        table = _table(before + x.shape[1], self.width, self.theta, x)
        mask = att_mask[:, None]
        if att_mask.numel() == 0:
            mask = torch.ones(1, 1, 1, before + x.shape[1], dtype=torch.bool, device=x.device)
        caches: list[Tensor] = []
        for number, layer in enumerate(self.encoders):
            own = att_cache[number : number + 1] if before > 0 else att_cache
            x, cache = layer(x, table, mask, own)
            caches.append(cache)
        return self.after_norm(x), torch.cat(caches), cnn_cache


class UpsamplingStack(nn.Module):
    """The encoder of CosyVoice2's flow.

    Args:
        encoder: The encoder.
    """

    def __init__(self, encoder: UpsamplingEncoder) -> None:
        super().__init__()
        self.embed, self.up_embed = _Input(encoder.embed), _Input(encoder.up_embed)
        self.conv1 = encoder.pre_lookahead_layer.conv1
        self.conv2 = encoder.pre_lookahead_layer.conv2
        self.up_conv, self.after_norm = encoder.up_layer.conv, encoder.after_norm
        self.encoders, self.up_encoders = (
            nn.ModuleList(_Layer(one) for one in layers if isinstance(one, RelativeLayer))
            for layers in (encoder.encoders, encoder.up_encoders)
        )
        self.width, self.theta, self.chunk = encoder.width, THETA, encoder.sizes.chunk
        self.lookahead = encoder.sizes.lookahead

    def forward(
        self,
        xs: Tensor,
        xs_lens: Tensor,
        context: Tensor = torch.zeros(0, 0, 0),  # noqa: B008 (as published)
        decoding_chunk_size: int = 0,
        num_decoding_left_chunks: int = -1,
        streaming: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Embedded tokens [B, T, E] to states [B, F, H], and what is not padding, [B, 1, F].

        Args:
            xs: The tokens.
            xs_lens: [B].
            context: [B, look-ahead, E] the tokens after them, or nothing.
            decoding_chunk_size: Without effect.
            num_decoding_left_chunks: Without effect.
            streaming: Whether positions see only their chunk and earlier ones.
        """
        chunk = self.chunk if streaming else 0
        valid, x = _valid(xs_lens, xs.shape[1]), self.embed(xs)
        if context.numel() > 0:
            ahead = torch.cat((x, self.embed(context)), 1)
        else:
            ahead = F.pad(x, (0, 0, 0, self.lookahead))
        y = F.leaky_relu(self.conv1(ahead.transpose(1, 2)), 0.01)
        x = x + self.conv2(F.pad(y, (2, 0))).transpose(1, 2)
        mask, table = _in_chunks(valid, chunk), _table(x.shape[1], self.width, self.theta, x)
        nothing = x.new_zeros(0, 0, 0, 0)
        for layer in self.encoders:
            x, _ = layer(x, table, mask, nothing)
        y = x.transpose(1, 2).repeat_interleave(2, -1)
        x = self.up_embed(self.up_conv(F.pad(y, (4, 0))).transpose(1, 2))
        valid = valid.repeat_interleave(2, -1)
        mask, table = _in_chunks(valid, 2 * chunk), _table(x.shape[1], self.width, self.theta, x)
        for layer in self.up_encoders:
            x, _ = layer(x, table, mask, nothing)
        return self.after_norm(x), valid


def scripted_parts(lm: CosyVoiceLM | None, flow: Flow | None) -> dict[str, torch.jit.ScriptModule]:
    """Script what the published export has of a model, in float32, by its published name.

    Args:
        lm: The language model of CosyVoice. None: it is left out, as of CosyVoice2.
        flow: Its flow. None: it is left out.

    Raises:
        ValueError: If the flow is of another kind.
    """
    parts: dict[str, nn.Module] = {}
    if lm is not None:
        parts["llm.text_encoder"] = PlainStack(lm.text_encoder, 1)
        parts["llm.llm"] = PlainStack(lm.llm, 1)
    if isinstance(flow, CosyVoiceFlow):
        parts["flow.encoder"] = PlainStack(flow.encoder, 0)
    elif isinstance(flow, CosyVoice2Flow):
        parts["flow.encoder"] = UpsamplingStack(flow.encoder)
    elif flow is not None:
        raise ValueError(f"a {flow.KIND} has no published export: name one of CosyVoice")
    return {name: torch.jit.script(deepcopy(part).eval()) for name, part in parts.items()}


def export_torchscript(lm: CosyVoiceLM | None, flow: Flow | None, folder: Path) -> list[Path]:
    """Write the parts of a model as frozen TorchScript, each in float32 and in float16.

    Args:
        lm: As for `scripted_parts`.
        flow: See there.
        folder: Gets files such as `flow.encoder.fp32.zip`.

    Returns:
        The files.

    Raises:
        ValueError: If the flow is of another kind.
    """
    files = []
    for name, part in scripted_parts(lm, flow).items():
        kept = ["forward_chunk"] if name == "llm.llm" else []
        for kind, dtype in (("fp32", torch.float32), ("fp16", torch.float16)):
            path = folder / f"{name}.{kind}.zip"
            torch.jit.freeze(part.to(dtype), preserved_attrs=kept).save(str(path))
            files.append(path)
    return files
