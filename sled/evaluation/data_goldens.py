"""Agreement with recordings of how published systems read speech: features, tokens, speakers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from sled.codec.features import (
    MelSettings,
    kaldi_filter_bank,
    log_mel,
    resample,
    speaker_features,
    tokenizer_features,
)
from sled.codec.speaker.encoder import load_speaker_network
from sled.codec.speech_tokens.dual import align_codebooks
from sled.codec.speech_tokens.files import load_tokenizer_network
from sled.data.tokens.batches import make_batch
from sled.data.tokens.options import COSYVOICE2, COSYVOICE2_2025
from sled.data.tokens.parquet import read_data_list
from sled.data.tokens.pipeline import TokenBatches
from sled.evaluation.cases import CaseResult
from sled.files.checkpoint import WEIGHTS_FILE

Tensors = dict[str, Tensor]
Case = dict[str, Any]


def _check_features(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    waveform, name = tensors["wav"], result.name
    settings = case.get("settings", {})
    if name.startswith("resample_"):
        rate, wanted = map(int, name.split("_")[1:])
        result.compare("resampled", resample(waveform, rate, wanted), tensors["out"])
    elif "hop_size" in settings:
        mel = MelSettings(
            sample_rate=settings["sampling_rate"],
            n_fft=settings["n_fft"],
            hop_length=settings["hop_size"],
            n_mels=settings["num_mels"],
            fmin=settings["fmin"],
            fmax=settings["fmax"],
        )
        result.compare("mel", log_mel(waveform, mel), tensors["mel"])
    elif "fbank" in tensors:
        result.compare("filter bank", kaldi_filter_bank(waveform[0]), tensors["fbank"])
        result.compare("normalised", speaker_features(waveform[0]), tensors["normalised"])
    else:
        mel_of_tokenizer = tokenizer_features(waveform[0], settings["n_mels"])
        result.compare("mel", mel_of_tokenizer, tensors["mel"])
    return True


@torch.inference_mode()
def _check_tokenizer(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    network = load_tokenizer_network(folder / case["model"])
    states, lengths = network.encoder(tensors["mel"], tensors["lens"])
    codes = network.quantizer(states)
    result.require("numbers of tokens", lengths.equal(tensors["code_lens"]))
    for row, length in enumerate(lengths.tolist()):
        result.compare("states", states[row, :length], tensors["hidden"][row, :length])
        same = codes[row, :length].equal(tensors["codes"][row, :length])
        result.require("tokens", same)
    return True


@torch.inference_mode()
def _check_speaker(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    network = load_speaker_network(folder / case["model"] / WEIGHTS_FILE)
    result.compare("speaker vector", network(tensors["fbank"]), tensors["embedding"])
    return True


def _check_batch(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    """A batch of the pipeline, of a given number in a recorded run."""
    match = re.fullmatch(r"pipeline_(head|2025)_batch(\d+)", result.name)
    if match is None:
        return False
    options = replace(
        COSYVOICE2 if match[1] == "head" else COSYVOICE2_2025,
        min_length=55,
        token_min_length=4,
        shuffle_size=4,
        keep_half=True,  # both runs were recorded with the newer shuffling
        sort_size=3,
        max_frames_in_batch=140,
        on_bad="stop",
    )
    files = read_data_list(folder / "data/toy/parquet/data.list")
    batches = TokenBatches(files, _code_points, options)
    samples = list(batches.plan_with(0, Random(100)))[int(match[2])]
    batch = make_batch(samples, options)
    for name in ("utts", "text"):
        result.require(name, batch[name] == case[name])
    for name, theirs in tensors.items():
        if theirs.is_floating_point():
            result.compare(name, batch[name], theirs)
        else:
            result.require(name, batch[name].equal(theirs))
    return True


def _code_points(text: str) -> list[int]:
    """The tokenizer of the recorded runs."""
    return [min(ord(character), 255) for character in text]


def _check_codebooks(result: CaseResult, case: Case, tensors: Tensors, folder: Path) -> bool:
    for mixed, rows in (("mixed", "dual"), ("mixed_tail", "dual_tail")):
        result.require(rows, align_codebooks(tensors[mixed]).equal(tensors[rows]))
    return True


DATA_CHECKS: dict[str, Callable[[CaseResult, Case, Tensors, Path], bool]] = {
    "features": _check_features,
    "tokenizer": _check_tokenizer,
    "speaker": _check_speaker,
    "tokens": _check_codebooks,
    "batch": _check_batch,
}
"""By the kind of a case; each returns whether it could run the case."""
