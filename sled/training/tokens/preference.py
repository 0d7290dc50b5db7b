"""Direct preference optimisation (Rafailov et al. 2023): prefer one speech of a text to another.

Shapes: B pairs of a chosen and a rejected speech of the same text.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Preference:
    """How pairs are learned.

    Attributes:
        beta: How strongly the model is held to the reference.
        label_smoothing: Assumed share of pairs whose labels are exchanged (conservative DPO).
        squared: Use the squared loss of IPO (Azar et al. 2023, eq. 17) instead.
    """

    beta: float = 0.01
    label_smoothing: float = 0.0
    squared: bool = False

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise ValueError(f"beta={self.beta:g} of preferences: use more than 0")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(
                f"label smoothing {self.label_smoothing:g} of preferences: use a share below 0.5"
            )


@dataclass(frozen=True, eq=False)
class PreferenceOutput:
    """Losses and rewards of pairs, each [B].

    Attributes:
        loss: The loss.
        chosen_reward: How much more likely the chosen speech is than for the reference, by beta.
        rejected_reward: The same of the rejected one.
    """

    loss: Tensor
    chosen_reward: Tensor
    rejected_reward: Tensor

    @property
    def accuracy(self) -> Tensor:
        """1 where the chosen speech has the higher reward, else 0; [B]."""
        return (self.chosen_reward > self.rejected_reward).float()


def preference_loss(
    preference: Preference,
    policy: tuple[Tensor, Tensor],
    reference: tuple[Tensor, Tensor],
) -> PreferenceOutput:
    """Compare log-likelihoods of the model in training with those of the reference.

    Args:
        preference: How pairs are learned.
        policy: Log-likelihoods [B] of the chosen and of the rejected speech.
        reference: The same of the model that training started from; without gradients.
    """
    chosen, rejected = (ours - theirs for ours, theirs in zip(policy, reference, strict=True))
    beta, smoothing = preference.beta, preference.label_smoothing
    margin = chosen - rejected
    if preference.squared:
        loss = (margin - 1 / (2 * beta)).square()
    else:
        loss = -(1 - smoothing) * F.logsigmoid(beta * margin)
        loss = loss - smoothing * F.logsigmoid(-beta * margin)
    return PreferenceOutput(loss, (beta * chosen).detach(), (beta * rejected).detach())
