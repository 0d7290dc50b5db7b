"""Batches of samples as padded tensors, with the published names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sled.codec.features import (
    ANALYSIS_RATE,
    limit_peak,
    log_mel,
    resample,
    tokenizer_features,
)
from sled.data.tokens.options import PipelineOptions
from sled.data.tokens.parquet import TokenRow
from sled.data.tokens.samples import Sample
from sled.files.channels import mix_channels

logger = logging.getLogger(__name__)

Pitch = Callable[[Tensor, int], Tensor]
"""Returns the fundamental frequency [F] of a waveform [S] and a number of mel frames."""


def make_batch(
    samples: Sequence[Sample], options: PipelineOptions, pitch: Pitch | None = None
) -> dict[str, Any]:
    """Decode samples and make a batch of them, the longest waveform first.

    The keys are `utts`, `text`, and padded tensors: `text_token`, `speech_token`, `spoken_token`,
    `reject_speech_token` and `instruct_token`, int64 [B, T], padded with 0; `speech_feat`
    [B, F, M] and `whisper_feat`, if there is to be audio; each with its lengths `<name>_len`, int32
    [B]; `utt_embedding`, `spk_embedding` and `embedding` [B, width], of length 1. With truncated
    recordings there are `speech` [B, S], and `pitch_feat` [B, F] if there is a function for it.
    What the corpus does not have is not in the batch.

    Args:
        samples: The samples.
        options: The options of the pipeline.
        pitch: Computes the pitch.

    Returns:
        The batch. If no sample can be decoded, its `utts` are empty, and it has nothing else.

    Raises:
        ValueError: If a sample cannot be decoded, and bad ones are to stop the run.
    """
    decoded = []
    for sample in samples:
        try:
            waveform = _waveform(sample, options) if options.with_audio else torch.empty(0)
            decoded.append((sample, waveform))
        except ValueError as error:
            if options.on_bad == "stop":
                raise ValueError(
                    f"{sample.row.utt}: {error}: repair the corpus, or leave what is bad out with "
                    "--on_bad skip"
                ) from error
            logger.warning("%s is left out: %s", sample.row.utt, error)
    if not decoded:
        return {"utts": []}
    decoded.sort(key=lambda one: one[0].num_samples, reverse=True)
    rows = [sample.row for sample, _ in decoded]
    batch: dict[str, Any] = {
        "utts": [row.utt for row in rows],
        "text": [row.text for row in rows],
    }
    _pad(batch, "text_token", [torch.tensor(sample.text) for sample, _ in decoded])
    if all(sample.instruct is not None for sample, _ in decoded):
        _pad(batch, "instruct_token", [torch.tensor(sample.instruct) for sample, _ in decoded])
    if all(row.speech_token is not None for row in rows):
        tokens = [torch.tensor(s.row.speech_token)[: s.num_tokens] for s, _ in decoded]
        _pad(batch, "speech_token", tokens)
    if any(row.spoken_token is not None for row in rows):
        _pad(batch, "spoken_token", [_spoken_tokens(sample) for sample, _ in decoded])
    if all(row.reject_speech_token is not None for row in rows):
        _pad(batch, "reject_speech_token", [torch.tensor(row.reject_speech_token) for row in rows])
    _add_vectors(batch, rows, options)
    if options.with_audio:
        _add_audio(batch, decoded, options, pitch)
    return batch


def _add_audio(
    batch: dict[str, Any],
    decoded: Sequence[tuple[Sample, Tensor]],
    options: PipelineOptions,
    pitch: Pitch | None,
) -> None:
    mels = [log_mel(waveform, options.mel).T[: s.num_frames] for s, waveform in decoded]
    _pad(batch, "speech_feat", mels)
    if options.with_tokenizer_features:
        rate = options.mel.sample_rate
        waveforms = (resample(waveform, rate, ANALYSIS_RATE) for _, waveform in decoded)
        _pad(batch, "whisper_feat", [tokenizer_features(waveform).T for waveform in waveforms])
    if options.truncate_length is not None:
        batch["speech"] = torch.stack([waveform for _, waveform in decoded])
        if pitch is not None:
            batch["pitch_feat"] = torch.stack(
                [
                    pitch(waveform, len(mel))
                    for (_, waveform), mel in zip(decoded, mels, strict=True)
                ]
            )


@cache
def _warn_of_missing(name: str) -> None:
    logger.warning("some utterances have no %s: batches with such ones are learned without", name)


def _spoken_tokens(sample: Sample) -> Tensor:
    """The text token of each speech token; -1 where it is not known."""
    if sample.row.spoken_token is None:
        return torch.full((sample.num_tokens,), -1)
    return torch.tensor(sample.row.spoken_token)[: sample.num_tokens]


def _pad(batch: dict[str, Any], name: str, rows: Sequence[Tensor]) -> None:
    batch[name] = pad_sequence(list(rows), batch_first=True)
    batch[f"{name}_len"] = torch.tensor([len(row) for row in rows], dtype=torch.int32)


def _add_vectors(batch: dict[str, Any], rows: Sequence[TokenRow], options: PipelineOptions) -> None:
    for name in ("utt_embedding", "spk_embedding"):
        vectors = [getattr(row, name) for row in rows]
        if any(vector is None for vector in vectors):
            if any(vector is not None for vector in vectors):
                _warn_of_missing(name)
        else:
            stacked = torch.from_numpy(np.stack(vectors)).float()
            batch[name] = F.normalize(stacked, dim=1)
    chosen = "spk_embedding" if options.use_spk_embedding else "utt_embedding"
    if chosen in batch:
        batch["embedding"] = batch[chosen]


def _waveform(sample: Sample, options: PipelineOptions) -> Tensor:
    """Decode, resample, truncate and pad the waveform [S] of a sample.

    Raises:
        ValueError: If it cannot be decoded, or breaks off.
    """
    row, rate = sample.row, options.mel.sample_rate
    if isinstance(row.audio, np.ndarray):
        mono = torch.from_numpy(row.audio)
    else:
        try:
            samples, _ = soundfile.read(BytesIO(row.audio), dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, OSError) as error:
            raise ValueError(f"its audio does not decode: {error}") from error
        mono = torch.from_numpy(mix_channels(samples.T))
    if not torch.isfinite(mono).all():
        raise ValueError("its audio has samples that are not finite")
    waveform = limit_peak(resample(mono, sample.sample_rate, rate))
    waveform = waveform[sample.start : sample.start + sample.num_samples]
    missing = sample.num_samples - len(waveform)
    if missing >= max(rate // 10, options.frames_per_token * options.mel.hop_length) and (
        options.truncate_length is None
    ):
        raise ValueError(f"its audio breaks off {missing / rate:.2f} s before its end")
    return F.pad(waveform, (0, missing))
