"""Mixture of experts: each position goes through a few of many MLPs, and one that all share.

Shapes: X experts, k chosen ones, H width; [...] is any leading dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sled.model.backbone import MLP
from sled.model.config import Architecture, Objective


@dataclass(frozen=True, kw_only=True)
class ExpertSizes:
    """The sizes of a mixture.

    Attributes:
        num_experts: X.
        num_experts_per_tok: k.
        moe_intermediate_size: Width of each expert.
        shared_expert_intermediate_size: Width of the shared one.
    """

    num_experts: int
    num_experts_per_tok: int
    moe_intermediate_size: int
    shared_expert_intermediate_size: int


class ExpertMLP(nn.Module):
    """The MLP of a layer, as in Qwen2-MoE. Attributes have the published tensor names.

    Args:
        sizes: Its sizes.
        architecture: Sizes of the model.
        objective: Dropout.

    Attributes:
        router_scores: [P, X] of the newest call with gradients, for `balance_loss`. None: none yet.
    """

    router_scores: Tensor | None = None

    def __init__(
        self, sizes: ExpertSizes, architecture: Architecture, objective: Objective
    ) -> None:
        super().__init__()
        small = replace(architecture, intermediate_size=sizes.moe_intermediate_size)
        shared = replace(architecture, intermediate_size=sizes.shared_expert_intermediate_size)
        self.num_chosen = sizes.num_experts_per_tok
        self.gate = nn.Linear(architecture.hidden_size, sizes.num_experts, bias=False)
        self.experts = nn.ModuleList(MLP(small, objective) for _ in range(sizes.num_experts))
        self.shared_expert = MLP(shared, objective)
        self.shared_expert_gate = nn.Linear(architecture.hidden_size, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs [..., H] to outputs [..., H]."""
        flat = x.flatten(0, -2)
        scores = self.gate(flat)  # [P, X]
        if torch.is_grad_enabled():
            self.router_scores = scores
        weights, chosen = scores.float().softmax(-1).topk(self.num_chosen)  # [P, k]
        output: Tensor = self.shared_expert_gate(flat).sigmoid() * self.shared_expert(flat)
        if torch.onnx.is_in_onnx_export():  # a graph has no branches
            shares = torch.zeros_like(scores).scatter(-1, chosen, weights.to(scores))
            for number, expert in enumerate(self.experts):
                output = output + shares[:, number, None] * expert(flat)
            return output.view_as(x)
        for number, expert in enumerate(self.experts):
            position, rank = (chosen == number).nonzero(as_tuple=True)
            if len(position):
                weighted = weights[position, rank, None].to(flat) * expert(flat[position])
                output = output.index_add(0, position, weighted.to(output))
        return output.view_as(x)


def balance_loss(layers: list[Tensor], num_chosen: int) -> Tensor:
    """Loss that is least if all experts are used alike (Fedus et al. 2021, eq. 4).

    Args:
        layers: Router scores [P, X] of each layer.
        num_chosen: k.

    Returns:
        A scalar; k for even use.
    """
    shares = torch.cat(layers).float().softmax(-1)
    chosen = F.one_hot(shares.topk(num_chosen).indices, shares.shape[-1])  # [P, k, X]
    used = chosen.float().mean(0).sum(0)  # [X]
    loss: Tensor = shares.shape[-1] * (used * shares.mean(0)).sum()
    return loss
