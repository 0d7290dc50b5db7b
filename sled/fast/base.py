"""The base class of the fast forms, with their input embeddings and stop head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sled.model.cache import KVCache, RowCache
from sled.model.conditions import project_conditions
from sled.model.eager_step import eager_step
from sled.model.interface import StepInputs
from sled.model.lm import SpeechLM

Module = TypeVar("Module", bound=nn.Module)


class FastModel(ABC):
    """A `FrameModel` that only decodes. Subclasses run the layers and the head.

    Args:
        model: The model to convert, in evaluation mode.
        dtype: Type of embeddings and hidden states. None: the model's own.
        tokens_dtype: Type of the table of tokens. None: the model's own, and no copy.

    Attributes:
        config: See `FrameModel`, as for the other attributes.
        layout: See there.
        streaming_layout: See there.
        device: See there.
        dtype: See there.
        unit_shape: See there.
        unit_dtype: See there.
        noise_width: See there.
        ids: See there.
        averages: See there.
        parameter_count: See there.
        encodes_text: See there.
        shows_attention: See there.
    """

    encodes_text = False
    shows_attention = False

    def __init__(
        self,
        model: SpeechLM,
        dtype: torch.dtype | None = None,
        tokens_dtype: torch.dtype | None = None,
    ) -> None:
        self.config, self.device = model.config, model.device
        self.layout, self.streaming_layout = model.layout, model.streaming_layout
        self.dtype = dtype or model.dtype
        self.unit_shape, self.noise_width = model.unit_shape, model.noise_width
        self.unit_dtype = self.dtype if model.unit_dtype == model.dtype else model.unit_dtype
        self.averages, self.parameter_count = model.averages, model.parameter_count
        self.ids = model.ids
        # The table can be as large as the rest of a small model. A lookup converts only the rows
        # that it reads.
        tokens = model.model.embed_tokens.weight.detach()
        self._tokens = tokens if tokens_dtype is None else tokens.to(tokens_dtype, copy=True)
        self._unit_input = self._cast_module(model.z_proj)
        self._condition_inputs = self._cast_module(model.condition_proj)
        norm = model.z_proj_ln
        self._norm_shape, self._norm_eps = list(norm.normalized_shape), norm.eps
        self._norm_weight, self._norm_bias = self._cast(norm.weight), self._cast(norm.bias)
        self._stop_weight = self._cast(model.eos_head.weight)

    def _cast(self, weight: Tensor) -> Tensor:
        return weight.detach().to(self.dtype, copy=True)

    def _cast_module(self, module: Module) -> Module:
        return deepcopy(module).to(self.dtype).requires_grad_(False)

    def tensors(self) -> list[tuple[str, Tensor]]:
        """Return all weights outside the layers and the head, with their names."""
        own = [(name, value) for name, value in vars(self).items() if isinstance(value, Tensor)]
        inputs = {"_z": self._unit_input, "_condition": self._condition_inputs}
        small = [
            (f"{prefix}_{name}", weight)
            for prefix, module in inputs.items()
            for name, weight in module.named_parameters()
        ]
        # The digests in voice files depend on this order.
        return [*own[:1], *small, *own[1:]]

    @abstractmethod
    def digest(self) -> str:
        """See `FrameModel.digest`."""

    @abstractmethod
    def advance(self, embeddings: Tensor, rows: list[int], counts: list[int], cache: Any) -> Tensor:
        """See `FrameModel.advance`."""

    @abstractmethod
    def draw(self, hidden: Tensor, noise: Tensor) -> Tensor:
        """See `FrameModel.draw`."""

    def score_ids(self, hidden: Tensor) -> Tensor:
        """See `FrameModel.score_ids`; only forms that `make_fast` chooses for ids have it."""
        raise TypeError(f"{type(self).__name__} draws no ids")

    def step(self, inputs: StepInputs, cache: Any) -> tuple[Tensor, Tensor]:
        """See `FrameModel.step`."""
        return eager_step(self, inputs, cache)

    def new_cache(self) -> RowCache:
        """See `FrameModel.new_cache`."""
        return KVCache(self.config.architecture, self.device, self.dtype)

    def embed_text(self, token_ids: Tensor, past: Sequence[int] = ()) -> Tensor:
        """See `FrameModel.embed_text`."""
        return self._normalize(F.embedding(token_ids, self._tokens).to(self.dtype))

    def embed_units(self, units: Tensor) -> Tensor:
        """See `FrameModel.embed_units`."""
        return self._normalize(self._unit_input(units.to(self.unit_dtype)))

    def embed_conditions(self, conditions: Mapping[str, Tensor]) -> Tensor:
        """See `FrameModel.embed_conditions`."""
        projected = project_conditions(self._condition_inputs, conditions, self.device, self.dtype)
        if projected is None:
            return torch.empty(0, self.config.architecture.hidden_size, device=self.device)
        return self._normalize(projected)

    def _normalize(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self._norm_shape, self._norm_weight, self._norm_bias, self._norm_eps)

    def stop_probability(self, hidden: Tensor) -> Tensor:
        """See `FrameModel.stop_probability`."""
        return torch.sigmoid(F.linear(hidden, self._stop_weight).float()).squeeze(-1)
