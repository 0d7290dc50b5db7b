"""Frames that are the mean of several draws.

What a state leaves open about a frame differs from draw to draw, and its mean does not: speech is
more often the right word then, and less lively. It is the head alone that does more work.

Shapes: U utterances, K draws, H hidden width, N noise width, D latent width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# The fractional parts of its multiples are spread evenly, however many there are.
GOLDEN_RATIO = 0.6180339887498949


def mean_draw(
    draw: Callable[[Tensor, Tensor], Tensor],
    hidden: Tensor,
    noise: Tensor,
    draws: Tensor,
    most: int,
) -> Tensor:
    """The mean of as many draws as each utterance is to have.

    Args:
        draw: One latent [..., D] for each hidden state [..., H] and noise [..., N].
        hidden: [U, H].
        noise: [U, N], as one draw takes it.
        draws: [U] how many.
        most: K, the largest of them, or more.

    Returns:
        [U, D]; with K of 1 the one draw itself. What an utterance gets does not depend on K.
    """
    if most == 1:
        return draw(hidden, noise)
    latents = draw(hidden.repeat(most, 1), noise_variants(noise, most).flatten(0, 1))
    counted = torch.arange(most, device=draws.device)[:, None] < draws  # [K, U]
    weight = (counted / draws).to(latents.dtype)
    return (weight[..., None] * latents.unflatten(0, (most, -1))).sum(0)


def noise_variants(noise: Tensor, count: int) -> Tensor:
    """Noise [U, N] and others [count, U, N] made of it, each as normal as it is.

    They are turned round by ever another number of places, with both signs: what is odd in the
    noise then cancels out in the mean (antithetic variates).
    """
    width = noise.shape[-1]
    turns = [int(width * (pair * GOLDEN_RATIO % 1)) for pair in range((count + 1) // 2)]
    both = [sign * noise.roll(turn, -1) for turn in turns for sign in (1, -1)]
    return torch.stack(both[:count])
