"""Noise on the speech tokens that a model reads in training, so that it relies on its text."""

from __future__ import annotations

import torch
from torch import Tensor

from sled.model.tokens.digits import FSQ_BASE, FSQ_DIGITS, FSQ_SIZE


def noisy_history(speech: Tensor, highest: float, num_ids: int) -> Tensor:
    """Replace some speech tokens by random ones; of FSQ tokens, some of their digits.

    A token with a few other digits sounds similar. The share of what is replaced is drawn, too.
    All random numbers are those of torch's global generator.

    Args:
        speech: int64 [T].
        highest: The highest share, from 0 to 1.
        num_ids: Number of speech tokens.

    Returns:
        int64 [T].
    """
    share = float(highest * torch.rand(()))
    if num_ids != FSQ_SIZE:
        replaced = torch.rand(speech.shape) < share
        return torch.where(replaced, torch.randint(num_ids, speech.shape), speech)
    shape = (len(speech), FSQ_DIGITS)
    replaced = torch.rand(shape) < share
    places = FSQ_BASE ** torch.arange(FSQ_DIGITS)
    digits = speech[:, None] // places % FSQ_BASE
    return (torch.where(replaced, torch.randint(FSQ_BASE, shape), digits) * places).sum(-1)
