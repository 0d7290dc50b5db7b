"""What all fast forms have in common: the way in, and the stop head."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sled.decoding.interface import WriteFrames
from sled.model.cache import KVCache, RowCache
from sled.model.lm import SpeechLlamaForCausalLM


class ModelEnds:
    """The parts of a model before and after its layers, which are small and stay as they are.

    Args:
        model: In evaluation mode.
        dtype: Of embeddings and states. None: as the model's.

    Attributes:
        config, layout, device, dtype: See `sled.decoding.FrameModel`.
    """

    def __init__(self, model: SpeechLlamaForCausalLM, dtype: torch.dtype | None = None) -> None:
        self.config, self.layout, self.device = model.config, model.layout, model.device
        self.dtype = dtype or model.dtype
        # As large as the whole rest of a small model, and looked up row by row: not converted.
        self._tokens = model.model.embed_tokens.weight.detach()
        self._z_weight, self._z_bias = self._own(model.z_proj.weight), self._own(model.z_proj.bias)
        norm = model.z_proj_ln
        self._norm_shape, self._norm_eps = list(norm.normalized_shape), norm.eps
        self._norm_weight, self._norm_bias = self._own(norm.weight), self._own(norm.bias)
        self._stop_weight = self._own(model.eos_head.weight)

    def _own(self, weight: Tensor) -> Tensor:
        return weight.detach().to(self.dtype)

    def tensors(self) -> list[tuple[str, Tensor]]:
        """All weights held here, by name."""
        return [(name, value) for name, value in vars(self).items() if isinstance(value, Tensor)]

    def new_cache(self) -> RowCache:
        """See `sled.decoding.FrameModel`, as for all methods."""
        return KVCache(self.config.architecture, self.device, self.dtype)

    def new_step(self, cache: Any) -> WriteFrames | None:
        return None

    def embed_text(self, token_ids: Tensor) -> Tensor:
        return self._normalize(F.embedding(token_ids, self._tokens).to(self.dtype))

    def embed_latents(self, latents: Tensor) -> Tensor:
        return self._normalize(F.linear(latents.to(self.dtype), self._z_weight, self._z_bias))

    def _normalize(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self._norm_shape, self._norm_weight, self._norm_bias, self._norm_eps)

    def stop_probability(self, hidden: Tensor) -> Tensor:
        return torch.sigmoid(F.linear(hidden, self._stop_weight).float()).squeeze(-1)
