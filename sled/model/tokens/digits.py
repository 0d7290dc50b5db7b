"""Speech tokens of finite scalar quantization (FSQ, Mentzer et al. 2023, arXiv 2309.15505).

A token is eight digits of base 3; the first is the least significant. Tokens with similar digits
stand for similar sounds, but tables of embeddings have an independent row for each of the 6,561.
"""

from __future__ import annotations

import torch
from torch import Tensor

FSQ_DIGITS, FSQ_BASE = 8, 3
FSQ_SIZE = FSQ_BASE**FSQ_DIGITS


def token_digits() -> Tensor:
    """Return the digits of all tokens, float32 [6561, 8]: -1, 0 or 1."""
    ids = torch.arange(FSQ_SIZE)[:, None]
    return (ids // FSQ_BASE ** torch.arange(FSQ_DIGITS) % FSQ_BASE - 1).float()


@torch.no_grad()
def begin_with_digits(weight: Tensor) -> None:
    """Let the rows of a new table depend on the digits of their tokens.

    Each row becomes a sum of random vectors, one for each digit, of the deviation that the table
    has. A model then knows at the beginning which tokens are similar, so that it learns much from
    few recordings. What is published has independent rows; the form of the table is the same.

    Args:
        weight: [6561 or more, W] the table; rows after those of tokens stay as they are.

    Raises:
        ValueError: If it has fewer rows.
    """
    if len(weight) < FSQ_SIZE:
        raise ValueError(f"a table of {len(weight)} rows is none of {FSQ_SIZE} tokens")
    rows, digits = weight[:FSQ_SIZE], token_digits().to(weight)
    mixed = digits @ torch.randn(FSQ_DIGITS, weight.shape[1]).to(weight)
    rows.copy_(mixed * (rows.std() / mixed.std()))
