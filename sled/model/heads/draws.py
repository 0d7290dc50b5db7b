"""The mean of several draws, for heads whose units can be averaged.

Averaging reduces the variance of a frame: speech has fewer wrong words and is less expressive. Only
the head has more to compute.

Shapes: U utterances, K draws, H hidden width, N noise width; `*unit` is the shape of a unit.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# The fractional parts of its first n multiples are evenly distributed, for any n.
GOLDEN_RATIO = 0.6180339887498949


def mean_draw(
    draw: Callable[[Tensor, Tensor], Tensor],
    hidden: Tensor,
    noise: Tensor,
    draws: Tensor,
    most: int,
) -> Tensor:
    """Compute the mean of a number of draws for each utterance.

    Args:
        draw: Draws units [..., *unit] for hidden states [..., H] and noise [..., N].
        hidden: [U, H] hidden states.
        noise: [U, N] noise of one draw.
        draws: [U] numbers of draws.
        most: K, the largest number of draws, or more. Heads that cannot average need 1.

    Returns:
        [U, *unit] units; with K = 1, the single draws. An utterance's unit does not depend on K.
    """
    if most == 1:
        return draw(hidden, noise)
    latents = draw(hidden.repeat(most, 1), noise_variants(noise, most).flatten(0, 1))
    counted = torch.arange(most, device=draws.device)[:, None] < draws  # [K, U]
    weight = (counted / draws).to(latents.dtype)
    mean: Tensor = (weight[..., None] * latents.view(most, -1, *latents.shape[1:])).sum(0)
    return mean


def noise_variants(noise: Tensor, count: int) -> Tensor:
    """Derive noise [count, U, N] from noise [U, N]; the first is the noise itself.

    Each variant is standard normal as well: the noise rotated along its width by a different
    offset, with both signs, so that odd functions of it cancel in the mean (antithetic variates).
    """
    width = noise.shape[-1]
    turns = [int(width * (pair * GOLDEN_RATIO % 1)) for pair in range((count + 1) // 2)]
    both = [sign * noise.roll(turn, -1) for turn in turns for sign in (1, -1)]
    return torch.stack(both[:count])
