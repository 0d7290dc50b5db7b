"""Codec units of a training batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sled.codec import Codec


@torch.no_grad()
def speech_units(codec: Codec, speech: Sequence[Tensor]) -> Tensor:
    """Right-padded units [B, T, *] of samples, each given as codes [K, T] or as a waveform [S]."""
    codes = [x if x.ndim == 2 else codec.encode([x])[0] for x in speech]
    # Frames first for padding; code 0 at padding is masked out.
    padded = pad_sequence([c.T for c in codes], batch_first=True)  # [B, T, K]
    return codec.codes_to_units(padded.transpose(1, 2))


def batch_units(codec: Codec, inputs: dict[str, Any]) -> Tensor:
    """Units [B, T, *] of a batch, with the spoken tokens if the codec has a token channel."""
    units = speech_units(codec, inputs["speech"])
    if codec.token_channel is None:
        return units
    tokens, numbers = (inputs[key].to(codec.device) for key in ("spoken_ids", "spoken_tokens"))
    return codec.token_channel.write(units, tokens, numbers)


def drop_leading_tokens(tokens: Tensor, num_frames: Tensor, share: float) -> Tensor:
    """Token-channel dropout: make the spoken tokens unknown up to a random frame in some samples.

    Args:
        tokens: [B, T] spoken tokens, -1 where unknown.
        num_frames: [B] length of each sample.
        share: Probability that a sample is changed.

    Returns:
        [B, T] tokens, -1 also before the random frame.
    """
    until = torch.rand(len(tokens), device=tokens.device) * num_frames
    until = until * (torch.rand(len(tokens), device=tokens.device) < share)
    frames = torch.arange(tokens.shape[1], device=tokens.device)
    return tokens.where(frames >= until[:, None], -1)
