"""Processes that train one model together, each with batches of its own.

torchrun starts them. After `backward`, the gradients of all are added, so that every process makes
the same step.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn

# A process may wait so long for another one, for example while that writes a checkpoint.
TIMEOUT = timedelta(minutes=30)


@dataclass(frozen=True)
class Processes:
    """The processes of a run; by default there is one.

    Attributes:
        rank: The number of this process.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add the gradients of all processes; a missing one counts as 0."""
        if self.size == 1:
            return
        parameters = [one for one in parameters if one.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [one.grad for one in parameters if one.grad is not None]
        joined = torch.cat([one.flatten() for one in gradients])
        distributed.all_reduce(joined)
        parts = torch.split(joined, [one.numel() for one in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


ALONE = Processes()


@contextmanager
def started_processes(backend: str) -> Iterator[Processes]:
    """Join the processes that torchrun has started, if it has, until the block ends.

    Args:
        backend: "gloo" or "nccl".
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    if distributed.is_initialized():  # for another model of the same run
        yield Processes(distributed.get_rank(), size)
        return
    distributed.init_process_group(backend, timeout=TIMEOUT)
    yield Processes(distributed.get_rank(), size)
    # Not after an error: with NCCL it would wait for processes that wait for this one.
    distributed.destroy_process_group()


def device_of_process(backend: str) -> torch.device:
    """The device that this process computes on: with "nccl" its GPU, if there is one."""
    if backend == "gloo" or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device
