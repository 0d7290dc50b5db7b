"""Batches of `sled.data.tokens` in the form that flows and vocoders learn from."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sled.codec.flow.base import FlowBatch, SpeechFlow
from sled.codec.flow.cosyvoice2 import FRAMES_PER_TOKEN, ChunkedFlow
from sled.codec.speech_tokens.dual import MIXED_RATE, align_codebooks
from sled.data.tokens.options import PipelineOptions

TOKENS, MEL, VECTOR = "speech_token", "speech_feat", "embedding"
WAVEFORM, PITCH = "speech", "pitch_feat"


def flow_options(options: PipelineOptions, flow: SpeechFlow) -> PipelineOptions:
    """Return options of the data pipeline with the tokens of a flow.

    Args:
        options: The options.
        flow: The flow. Mixed tokens of two codebooks are no multiple of mel frames: `flow_batch`
            makes them fit.
    """
    mixed = flow.token_shape == (2,)
    return replace(
        options,
        fit="none" if mixed else options.fit,
        speech_token_size=flow.vocab_size - mixed,
        token_rate=MIXED_RATE if mixed else flow.token_rate,
    )


def without_text(options: PipelineOptions) -> PipelineOptions:
    """Return options whose filter lets all texts pass, for models that do not read them."""
    return replace(
        options,
        token_min_length=0,
        token_max_length=sys.maxsize,
        min_output_input_ratio=0.0,
        max_output_input_ratio=math.inf,
    )


def no_ids(text: str) -> list[int]:
    """Return no ids: texts of corpora that are read with `without_text`."""
    return []


def flow_batch(batch: Mapping[str, Any], flow: SpeechFlow) -> FlowBatch:
    """Take what a flow learns from.

    Tokens and mel frames were rounded in their own ways. For a flow with two frames for each token,
    both are cut to the shorter one. A flow of two codebooks gets their mixed tokens in rows.

    Args:
        batch: As `sled.data.tokens` makes it.
        flow: The flow.

    Raises:
        ValueError: If something is missing or does not fit the flow.
    """
    missing = [name for name in (TOKENS, MEL, VECTOR) if name not in batch]
    if missing:
        raise ValueError(
            f"the corpus has no {', '.join(missing)}: extract speech tokens and speaker vectors "
            "before it is packed"
        )
    tokens, mel = batch[TOKENS].to(flow.device), batch[MEL].to(flow.device).mT
    num_tokens, num_frames = (batch[f"{name}_len"].long().to(flow.device) for name in (TOKENS, MEL))
    speaker = batch[VECTOR].to(flow.device, torch.float32)
    for what, found, wanted in (
        ("mel bands", mel.shape[1], flow.num_mels),
        ("numbers in a speaker vector", speaker.shape[1], flow.speaker_size),
    ):
        if found != wanted:
            raise ValueError(f"the corpus has {found} {what}, the flow {wanted}: extract it again")
    known = flow_options(PipelineOptions(), flow).speech_token_size
    assert known is not None
    if len(tokens) and int(tokens.max()) >= known:
        raise ValueError(
            f"the corpus has the token {int(tokens.max())}, the flow {known} tokens: use the "
            "speech tokenizer that belongs to the flow"
        )
    if flow.token_shape == (2,):
        tokens, num_tokens = _in_rows(tokens, num_tokens)
    if isinstance(flow, ChunkedFlow):
        num_tokens = torch.minimum(num_tokens, num_frames // FRAMES_PER_TOKEN)
        num_frames = FRAMES_PER_TOKEN * num_tokens
    longest, frames = int(num_tokens.max()), int(num_frames.max())
    inside = torch.arange(frames, device=mel.device) < num_frames[:, None]
    mel = mel[..., :frames] * inside[:, None]
    return FlowBatch(tokens[:, :longest], num_tokens, mel, num_frames, speaker)


def _in_rows(mixed: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [B, R, 2] of mixed tokens [B, T] of two codebooks, and their numbers [B]."""
    rows = [align_codebooks(one[:length]) for one, length in zip(mixed, lengths, strict=True)]
    counts = torch.tensor([len(one) for one in rows], device=mixed.device)
    return pad_sequence(rows, batch_first=True), counts


VocoderBatch = tuple[Tensor, Tensor, Tensor | None]
"""Mel frames [B, M, F], waveforms [B, S], and frequencies [B, F] if they are known."""


def vocoder_batch(batch: Mapping[str, Any], device: torch.device) -> VocoderBatch:
    """Take what a vocoder learns from.

    Args:
        batch: As `sled.data.tokens` makes it of truncated recordings.
        device: Where they are to be.

    Raises:
        ValueError: If the recordings are not truncated.
    """
    if WAVEFORM not in batch:
        raise ValueError("a vocoder learns from pieces of recordings: set the option to cut them")
    mel, waveform, pitch = batch[MEL].mT, batch[WAVEFORM], batch.get(PITCH)
    return mel.to(device), waveform.to(device), None if pitch is None else pitch.to(device)
