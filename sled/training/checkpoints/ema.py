"""Exponential moving average (EMA) of the weights, updated at each step of a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger(__name__)

EMA_FILE = "ema.safetensors"


class WeightEma(TrainerCallback):
    """EMA of all trained weights, in float32.

    Training does not use it. Every process of a distributed run computes the same average.

    Args:
        model: The model in training; all of its weights are on this process.
        decay: Share of the average that a step keeps: about the last 1 / (1 - decay) steps count.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._names = list(trained)
        self._weights = nn.ParameterList(trained.values())
        self._average = AveragedModel(self._weights, avg_fn=_ema_update(decay)).float()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Add the weights of this step; those of the first step start the average."""
        self._average.update_parameters(self._weights)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the averaged weights inside the context, then its own weights back."""
        own = [weight.detach().clone() for weight in self._weights]
        self.apply()
        try:
            yield
        finally:
            _copy(own, self._weights)

    def apply(self) -> None:
        """Replace the weights of the model by the averages, if there was a step."""
        if self._average.n_averaged:
            _copy(self._average.parameters(), self._weights)

    def save(self, folder: Path) -> None:
        """Write `ema.safetensors`, with the tensor names of the model."""
        averages = (average.detach() for average in self._average.parameters())
        tensors = dict(zip(self._names, averages, strict=True))
        save_file(tensors, folder / EMA_FILE, metadata={"format": "pt"})

    def load(self, folder: Path) -> None:
        """Continue from the file that `save` wrote; without one, averaging starts anew.

        Raises:
            ValueError: If it holds averages of other weights.
        """
        path = folder / EMA_FILE
        if not path.is_file():
            logger.info("%s holds no averaged weights: averaging starts here", folder)
            return
        averages = load_file(path)
        if averages.keys() != set(self._names):
            raise ValueError(
                f"{path} holds averages of other weights than those in training: continue the run "
                "with the flags it was started with"
            )
        _copy((averages[name] for name in self._names), self._average.parameters())
        # A moving average only distinguishes 0 from other counts.
        self._average.n_averaged.fill_(1)


def _ema_update(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """As torch's `get_ema_multi_avg_fn`, but it averages bfloat16 weights in float32.

    In bfloat16 most updates would be lost, because they are smaller than its resolution.
    """

    def update(average: Tensor, weight: Tensor, num_averaged: Tensor | int) -> Tensor:
        return average.lerp(weight.to(average.dtype), 1 - decay)

    return update


@torch.no_grad()
def _copy(sources: Iterable[Tensor], targets: Iterable[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
