"""The layers in PyTorch, with the projections of the same input fused into one matrix.

Shapes: R rows, Q new inputs per row, H hidden width, A heads, d head width, I width of the MLP.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from sled.fast.base import FastModel
from sled.fast.paged_cache import PagedCache
from sled.files.digest import tensor_digest
from sled.model.backbone import MLP, AttentionContext, DecoderLayer, rotate
from sled.model.cache import KVCache
from sled.model.lm import SpeechLM


class FusedLayer:
    """The weights of a decoder layer. Projections of the same input are one matrix.

    Attributes:
        qkv: [(A + 2 A_kv) d, H] projection to queries, keys and values.
        out: [H, A d] output projection of the attention.
        gate_up: [2 I, H] gate projection, then up projection.
        down: [H, I] down projection.
        attention_norm: [H] gain of the norm before the attention.
        mlp_norm: [H] gain of the norm before the MLP.
    """

    def __init__(self, layer: DecoderLayer) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        assert isinstance(mlp, MLP)
        inputs = (attention.q_proj, attention.k_proj, attention.v_proj)
        self.qkv = torch.cat([one.weight.detach() for one in inputs])
        self.gate_up = torch.cat([mlp.gate_proj.weight.detach(), mlp.up_proj.weight.detach()])
        self.out, self.down = attention.o_proj.weight.detach(), mlp.down_proj.weight.detach()
        self.attention_norm = layer.input_layernorm.weight.detach()
        self.mlp_norm = layer.post_attention_layernorm.weight.detach()


class FusedModel(FastModel):
    """A `FrameModel` on any device and in any floating-point type.

    Args:
        model: The model to convert, in evaluation mode. Its weights are moved, to hold them only
            once: do not use it any more.
    """

    shows_attention = True

    def __init__(self, model: SpeechLM) -> None:
        super().__init__(model)
        backbone, sizes = model.model, model.config.architecture
        self._layers: list[FusedLayer] = []
        while len(backbone.layers):
            layer = backbone.layers.pop(0)
            assert isinstance(layer, DecoderLayer)
            self._layers.append(FusedLayer(layer))
        self._final_norm = backbone.norm.weight.detach()
        self._head = model.scoreloss
        self._shape, self._eps = [sizes.hidden_size], sizes.rms_norm_eps
        self._heads, self._head_dim = sizes.num_attention_heads, sizes.head_dim
        self._rotated = sizes.num_attention_heads + sizes.num_key_value_heads

    @override
    def digest(self) -> str:
        tensors = self.tensors() + sorted(self._head.state_dict().items())
        for number, layer in enumerate(self._layers):
            tensors += [(f"{number}.{name}", value) for name, value in vars(layer).items()]
        return tensor_digest(tensors)

    @override
    def advance(
        self, embeddings: Tensor, rows: list[int], counts: list[int], cache: KVCache | PagedCache
    ) -> Tensor:
        cache.extend(rows, counts)
        x = embeddings
        for number, layer in enumerate(self._layers):
            x = self._pass(x, number, layer, cache)
        if x.shape[1] == 1:
            x = x[:, 0]
        else:
            last = torch.tensor(counts, device=self.device) - 1
            x = x[torch.arange(len(counts), device=self.device), last]
        return F.rms_norm(x, self._shape, self._final_norm, self._eps)

    def _pass(self, x: Tensor, number: int, layer: FusedLayer, cache: AttentionContext) -> Tensor:
        """Apply a layer to [R, Q, H]."""
        qkv = F.linear(F.rms_norm(x, self._shape, layer.attention_norm, self._eps), layer.qkv)
        qkv = qkv.view(*x.shape[:2], -1, self._head_dim)  # [R, Q, A + 2 A_kv, d]
        rotated = rotate(qkv[:, :, : self._rotated], cache.cos, cache.sin)
        query, key = rotated[:, :, : self._heads], rotated[:, :, self._heads :]
        attended = cache.attend(number, query, key, qkv[:, :, self._rotated :], dropout=0.0)
        return self._feed_forward(x + F.linear(attended.flatten(-2), layer.out), layer)

    def _feed_forward(self, x: Tensor, layer: FusedLayer) -> Tensor:
        """Apply the MLP of a layer to [..., H]."""
        gate_up = F.linear(F.rms_norm(x, self._shape, layer.mlp_norm, self._eps), layer.gate_up)
        gate, up = gate_up.chunk(2, dim=-1)
        return x + F.linear(F.silu(gate) * up, layer.down)

    @override
    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        return self._head.draw(hidden, noise)

    @override
    def score_ids(self, hidden: Tensor) -> Tensor:
        return self._head.score_ids(hidden)
