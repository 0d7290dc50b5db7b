"""Voices to time: the bundled one, and untrained ones of other sizes."""

from __future__ import annotations

import torch

from sled.benchmarks.steps import SIZES, make_codec, make_config
from sled.bundled import BUNDLED_MODEL
from sled.model import SpeechLlamaForCausalLM
from sled.text import TextTokenizer
from sled.tts import DTYPES, TTS

__all__ = ["SIZES", "load_speaker"]
# As published.
STREAM_N, STREAM_M = 5, 45


def load_speaker(size: str, device: torch.device, dtype: str) -> TTS:
    """A voice of one of `SIZES` for the streaming layout.

    Untrained ones speak noise, in the same time as words. Their texts are tokenized as the bundled
    voice's.
    """
    if size == "bundled":
        return TTS.from_pretrained(device=str(device), dtype=dtype)
    config = make_config(size)
    config.stream_n, config.stream_m = STREAM_N, STREAM_M
    model = SpeechLlamaForCausalLM(config).to(device, DTYPES[dtype]).eval()
    return TTS(model, TextTokenizer.from_pretrained(BUNDLED_MODEL), make_codec(size, device))
