"""Arithmetic operations of a training step of a token model."""

from __future__ import annotations

from torch import nn

from sled.model.tokens.experts import ExpertMLP
from sled.model.tokens.lm import TokenLM


def training_flops(model: TokenLM, positions: int, lengths: list[int]) -> float:
    """Operations of a forward and a backward pass; see `training_flops` of models of latents.

    Every matrix counts for every position. A text encoder reads text only, so a model with one
    does a little less.
    """
    sizes = model.config.architecture
    used = sum(p.numel() for name, p in model.named_parameters() if _is_product(name, p))
    for module in model.modules():
        if isinstance(module, ExpertMLP):
            experts = sum(p.numel() for p in module.experts.parameters())
            used -= round(experts * (1 - module.num_chosen / len(module.experts)))
    attended = sum(length * length / 2 for length in lengths)
    width = sizes.num_attention_heads * sizes.head_dim
    return 6.0 * used * positions + 12.0 * sizes.num_hidden_layers * width * attended


def _is_product(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim == 2 and not name.endswith(
        ("embedding.weight", "embed_tokens.weight", "pos_bias_u", "pos_bias_v")
    )
