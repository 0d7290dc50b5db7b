"""The share of inactive neurons in the energy head: hidden neurons that are off for every frame.

If the learning rate is too high, neurons of the head's blocks are driven far below zero, where
their SiLU is flat, and do not recover: the loss still falls, but more slowly.
"""

from __future__ import annotations

from types import TracebackType

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from sled.model.heads.energy import ResidualBlock
from sled.training.agreement import sum_over_processes

# Below this input, the output of SiLU is between -0.015 and 0.
OFF_BELOW = -6.0


class InactiveNeurons:
    """Watches the residual blocks of a head while this context is open; other heads have none.

    Args:
        head: The head.
        device: Device on which totals are reduced over processes.
    """

    def __init__(self, head: nn.Module, device: torch.device) -> None:
        blocks = [module for module in head.modules() if isinstance(module, ResidualBlock)]
        self._activations = [block.mlp[1] for block in blocks]
        width = blocks[0].noise_ln.normalized_shape[0] if blocks else 0
        shape = len(blocks), width
        self._is_active = torch.zeros(shape, dtype=torch.bool, device=device)
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> InactiveNeurons:
        for index, activation in enumerate(self._activations):

            def watch(_: nn.Module, inputs: tuple[Tensor], index: int = index) -> None:
                self._is_active[index] |= (inputs[0] > OFF_BELOW).flatten(0, -2).any(0)

            self._hooks.append(activation.register_forward_pre_hook(watch))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()

    def metrics(self, accelerator: Accelerator) -> dict[str, float]:
        """`inactive_neurons`: share of neurons that were off at every frame on all processes."""
        is_active = sum_over_processes(self._is_active.cpu().double(), accelerator) > 0
        if not is_active.any():
            return {}
        return {"inactive_neurons": 1 - float(is_active.double().mean())}
