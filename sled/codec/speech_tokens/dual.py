"""The two codebooks of Step-Audio: how their tokens are mixed, and aligned in time.

A group of 120 ms has 2 tokens of the linguistic codebook, at 16.67 Hz, and 3 of the semantic one,
at 25 Hz. In the mixed sequence, semantic tokens are numbered after the linguistic ones.

Shapes: T tokens of a sequence, R rows at 25 Hz.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LINGUISTIC_SIZE, SEMANTIC_SIZE = 1024, 4096
# Mixed tokens per second.
MIXED_RATE = 25 + 25 * 2 / 3
# Ids of the language model begin here, and as text a mixed token N is written <audio_N>.
FIRST_ID = 65_536
# The row that a flow reads has semantic tokens after the id that fills a linguistic gap.
PAD_ID = LINGUISTIC_SIZE

_LINGUISTIC, _SEMANTIC = 2, 3
_GROUP = _LINGUISTIC + _SEMANTIC
# Tokens a second of both, and by how much their durations may differ: either tokenizer rounds the
# ends of its pieces. In units of 20 ms.
_RATES = (50 / 3, 25)
_MAX_SURPLUS = 6
# What an incomplete last group is filled up with, from the end.
_TAIL = (0, 0, 0, LINGUISTIC_SIZE, LINGUISTIC_SIZE, LINGUISTIC_SIZE)


def mix_codebooks(linguistic: Tensor, semantic: Tensor) -> Tensor:
    """Mix the tokens of both codebooks of one utterance.

    Args:
        linguistic: Tokens [T], 0 to 1023.
        semantic: Tokens [T], 0 to 4095.

    Returns:
        Mixed tokens, in whole groups: what is left over of either is dropped.

    Raises:
        ValueError: If a token is out of range, or the two are not of the same audio: their
            durations differ by more than a few tokens.
    """
    for name, tokens, size in (
        ("linguistic", linguistic, LINGUISTIC_SIZE),
        ("semantic", semantic, SEMANTIC_SIZE),
    ):
        if len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < size:
            raise ValueError(
                f"{name} tokens from {int(tokens.min())} to {int(tokens.max())} are not within 0 "
                f"and {size - 1}: extract them again"
            )
    surplus = _SEMANTIC * len(linguistic) - _LINGUISTIC * len(semantic)
    if abs(surplus) > _MAX_SURPLUS:
        seconds = [
            len(one) / rate for one, rate in zip((linguistic, semantic), _RATES, strict=True)
        ]
        raise ValueError(
            f"{len(linguistic)} linguistic tokens are {seconds[0]:.2f} s, and {len(semantic)} "
            f"semantic ones {seconds[1]:.2f} s: extract both from the same audio (Step-Audio's "
            "tools trim silence first)"
        )
    groups = min(len(linguistic) // _LINGUISTIC, len(semantic) // _SEMANTIC)
    first = linguistic[: groups * _LINGUISTIC].view(groups, _LINGUISTIC)
    second = semantic[: groups * _SEMANTIC].view(groups, _SEMANTIC) + LINGUISTIC_SIZE
    return torch.cat((first, second), 1).flatten()


def split_codebooks(mixed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the linguistic and the semantic tokens of whole groups of mixed tokens [T]."""
    groups = mixed[: len(mixed) // _GROUP * _GROUP].view(-1, _GROUP)
    return groups[:, :_LINGUISTIC].flatten(), groups[:, _LINGUISTIC:].flatten() - LINGUISTIC_SIZE


def align_codebooks(mixed: Tensor) -> Tensor:
    """Align mixed tokens [T] in time, as the flow reads them.

    Returns:
        Rows [R, 2]: a linguistic token or `PAD_ID`, and a semantic token, numbered after `PAD_ID`.
    """
    missing = -len(mixed) % _GROUP
    if missing:
        mixed = torch.cat((mixed, mixed.new_tensor(_TAIL[-missing:])))
    groups = mixed.view(-1, _GROUP)
    linguistic = F.pad(groups[:, :_LINGUISTIC], (0, _SEMANTIC - _LINGUISTIC), value=PAD_ID)
    return torch.stack((linguistic, groups[:, _LINGUISTIC:] + 1), -1).flatten(0, 1)
