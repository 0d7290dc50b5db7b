"""The average of the weights over the steps of a run, kept while training goes on."""

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


class WeightAverage(TrainerCallback):
    """Exponential moving average (EMA) of all weights that are trained, in float32.

    Training itself never sees it. Every process of a distributed run takes the same average of the
    same weights.

    Args:
        model: What is trained; all of its weights are on this process.
        decay: How much of the average a step leaves: about the last 1 / (1 - decay) steps count.
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
        """Let the weights of this step count; the first ones become the average."""
        self._average.update_parameters(self._weights)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the model hold the averages inside the context, and its own weights after it."""
        own = [weight.detach().clone() for weight in self._weights]
        self.apply()
        try:
            yield
        finally:
            _copy(own, self._weights)

    def apply(self) -> None:
        """Put the averages in the place of the model's weights, if any step has counted yet."""
        if self._average.n_averaged:
            _copy(self._average.parameters(), self._weights)

    def save(self, folder: Path) -> None:
        """Write `ema.safetensors`, with the tensor names of the model."""
        averages = (average.detach() for average in self._average.parameters())
        tensors = dict(zip(self._names, averages, strict=True))
        save_file(tensors, folder / EMA_FILE, metadata={"format": "pt"})

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote; from a folder without it, averaging starts anew.

        Raises:
            ValueError: If it is the average of other weights.
        """
        path = folder / EMA_FILE
        if not path.is_file():
            logger.info("%s holds no averages of weights: averaging starts here", folder)
            return
        averages = load_file(path)
        if averages.keys() != set(self._names):
            raise ValueError(
                f"{path} holds averages of other weights than are trained now: continue the run "
                "with the flags it was started with"
            )
        _copy((averages[name] for name in self._names), self._average.parameters())
        # Only whether it is 0 matters to a moving average.
        self._average.n_averaged.fill_(1)


def _ema_update(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """As torch's `get_ema_multi_avg_fn`, which cannot average bfloat16 weights in float32.

    There most steps would be lost: they change an average by less than bfloat16 resolves.
    """

    def update(average: Tensor, weight: Tensor, num_averaged: Tensor | int) -> Tensor:
        return average.lerp(weight.to(average.dtype), 1 - decay)

    return update


@torch.no_grad()
def _copy(sources: Iterable[Tensor], targets: Iterable[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
