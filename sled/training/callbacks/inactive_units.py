"""How much of the energy head is switched off: hidden units that say nothing for any frame.

With a learning rate that is too high the units of the head's blocks are driven far below zero,
where their SiLU is flat, and do not come back: the loss goes on falling, only more slowly.
"""

from __future__ import annotations

from types import TracebackType

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from sled.model.heads import EnergyHead
from sled.model.heads.energy import ResidualBlock

# There SiLU is above -0.015.
OFF_BELOW = -6.0


class InactiveUnits:
    """Watches a head while this context is open.

    Args:
        head: The head.
        device: Where totals are reduced over processes.
    """

    def __init__(self, head: EnergyHead, device: torch.device) -> None:
        blocks = head.net.res_blocks
        self._activations = [block.mlp[1] for block in blocks if isinstance(block, ResidualBlock)]
        shape = len(blocks), head.architecture.diffloss_w
        self._is_active = torch.zeros(shape, dtype=torch.bool, device=device)
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> InactiveUnits:
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
        """`inactive_units`: the share that was off at every frame, on all processes, if any ran."""
        is_active = accelerator.reduce(self._is_active.double(), "sum") > 0
        if not is_active.any():
            return {}
        return {"inactive_units": 1 - float(is_active.double().mean())}
