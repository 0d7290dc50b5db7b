"""Losses and speed of the training of token models between two log entries."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from sled.model.tokens.experts import ExpertMLP
from sled.model.tokens.lm import TokenLM, TokenOutput
from sled.training.callbacks.throughput import matmul_rate


class TokenProgress:
    """Sums over the steps since the last report, on this process.

    Args:
        model: The model in training.
        device: Its device.
        dtype: Type in which most of its arithmetic is done.
    """

    def __init__(self, model: TokenLM, device: torch.device, dtype: torch.dtype) -> None:
        self._model, self._device = model, device
        # Measured here, because it draws random numbers, which a run must not.
        self._peak = matmul_rate(device, dtype)
        self._parts: dict[str, Tensor] = {}
        self._start()

    def _start(self) -> None:
        self._parts = {}
        self._tokens = self._flops = 0.0
        self._since, self._paused_s = time.perf_counter(), 0.0

    def add(self, output: TokenOutput, parts: Mapping[str, Tensor]) -> None:
        """Add a batch.

        Args:
            output: Output of its forward pass.
            parts: Shares of losses and of what else is told, whose sums are means over a step.
        """
        for name, part in parts.items():
            self._parts[name] = self._parts.get(name, 0.0) + part.detach()
        self._tokens += int((output.targets >= 0).sum())
        self._flops += training_flops(self._model, len(output.inputs), output.lengths)

    def pause(self, seconds: float) -> None:
        """Exclude time that was not spent on training."""
        self._paused_s += seconds

    def report(self, num_steps: int, accelerator: Accelerator) -> dict[str, float]:
        """Mean losses per step, and the speed over all processes; then start again at 0.

        `peak_share` is the achieved share of the measured rate of large matrix products.
        """
        elapsed_s = time.perf_counter() - self._since - self._paused_s
        share = self._flops / self._peak / elapsed_s
        own = torch.tensor([self._tokens, share], device=self._device)
        tokens, share = accelerator.reduce(own, "sum").tolist()
        names, parts = list(self._parts), list(self._parts.values())
        self._start()
        if not tokens:
            return {}
        means = accelerator.reduce(torch.stack(parts).float(), "mean") / max(1, num_steps)
        return dict(zip(names, means.tolist(), strict=True)) | {
            "tokens_per_second": tokens / elapsed_s,
            "peak_share": share / accelerator.num_processes,
        }


def training_flops(model: TokenLM, positions: int, lengths: list[int]) -> float:
    """Operations of a forward and a backward pass; see `throughput.training_flops`.

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
