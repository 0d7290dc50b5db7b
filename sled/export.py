"""Checkpoints made small enough to hand around: half precision, and only what speaking needs."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import EncodecModel

from sled.model import SpeechLlamaForCausalLM
from sled.text import TextTokenizer
from sled.tts import DTYPES


def export_model(source: str | Path, destination: Path, dtype: str = "float16") -> None:
    """Write a checkpoint's config, weights in the given dtype, and tokenizer.

    Raises:
        ValueError: If `source` is no checkpoint, or its weights do not fit the dtype.
    """
    model = SpeechLlamaForCausalLM.from_pretrained(source, dtype=torch.float32)
    _check_range(model, dtype)
    model.to(DTYPES[dtype]).save_pretrained(destination)
    TextTokenizer.from_pretrained(source).save_pretrained(destination)


def export_codec(source: str | Path, destination: Path, dtype: str = "float16") -> None:
    """Write a codec with its weights in the given dtype; it is loaded and run in float32."""
    model = EncodecModel.from_pretrained(source, dtype=torch.float32, use_safetensors=True)
    _check_range(model, dtype)
    model.to(DTYPES[dtype]).save_pretrained(destination)


def _check_range(model: torch.nn.Module, dtype: str) -> None:
    largest = torch.finfo(DTYPES[dtype]).max
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all() or tensor.abs().max() > largest:
            raise ValueError(f"{name} does not fit {dtype}: choose bfloat16 or float32")
