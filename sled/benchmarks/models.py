"""Models to time: the bundled ones, and untrained ones of other sizes."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from sled.benchmarks.sizes import make_codec, make_config, untrained_codec
from sled.bundled import BUNDLED_MODELS
from sled.codec import Codec, load_codec
from sled.fast import choose_precision, loading_dtype, make_fast, use_kernels
from sled.fast.int4 import round_layers
from sled.model.heads.energy import ZeroLinear
from sled.model.interface import FrameModel
from sled.model.lm import SpeechLM, num_parameters
from sled.model.registry import load_speech_lm, save_speech_lm
from sled.text.tokenizer import TextTokenizer
from sled.tts import TTS

# As published, at 75 frames per second.
STREAM_N, STREAM_M = 5, 45


def resolve_dtype(size: str, device: torch.device, dtype: str) -> str:
    """Return the precision of a model of one of `SIZES` for a `dtype`, which can be "auto"."""
    if dtype != "auto":
        return dtype
    config = make_config(size)
    return choose_precision(num_parameters(config), device, config)


def make_model(size: str, device: torch.device, dtype: torch.dtype) -> SpeechLM:
    """Return the plain model of one of `SIZES`, the same each time.

    Untrained models speak noise, which takes the same time as words.
    """
    if size in BUNDLED_MODELS:
        folder = BUNDLED_MODELS[size].folder
        model = load_speech_lm(folder, dtype)
    else:
        config = make_config(size)
        sizes = config.architecture
        sizes.stream_n, sizes.stream_m = STREAM_N, round(STREAM_M * sizes.frame_rate / 75)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = SpeechLM(config).to(dtype)
            for module in model.modules():
                if isinstance(module, ZeroLinear):  # all frames would be zeros
                    nn.init.xavier_uniform_(module.weight)
    return model.to(device).eval()


def load_model(
    size: str, device: torch.device, dtype: str, threads: int | None = None
) -> tuple[FrameModel, Codec]:
    """Return the fast form of a model of one of `SIZES`, and its codec.

    Those of the published sizes are read from a checkpoint in float32. Another process writes it,
    so that memory is that of loading a model. Arguments are those of `load_tts`.
    """
    precision = resolve_dtype(size, device, dtype)
    stored = loading_dtype(precision)
    if not size.startswith("published"):
        model = make_model(size, device, stored or torch.float32)
        return _make_fast(model, precision, threads), make_codec(size, device)
    with TemporaryDirectory(prefix="sled-") as folder:
        writer = get_context("spawn").Process(target=_write_checkpoint, args=(size, folder))
        writer.start()
        writer.join()
        model = load_speech_lm(Path(folder), stored).to(device)
        fast = _make_fast(model, precision, threads)
        codec = load_codec(Path(folder) / "codec", device)
    use_kernels(codec)
    return fast, codec


def _make_fast(model: SpeechLM, precision: str, threads: int | None) -> FrameModel:
    """The fast form of a model; weights in int4 are rounded to the nearest."""
    int4 = round_layers(model) if precision == "int4" else None
    return make_fast(model, precision, threads, int4=int4)


def _write_checkpoint(size: str, folder: str) -> None:
    save_speech_lm(make_model(size, torch.device("cpu"), torch.float32), Path(folder))
    untrained_codec(size).save(Path(folder) / "codec")


def load_tts(
    size: str,
    device: torch.device,
    dtype: str,
    threads: int | None = None,
    codec_threads: int | None = None,
) -> TTS:
    """Load a model of one of `SIZES` for the streaming layout, with tokenizer and codec.

    A bundled model has its own tokenizer; untrained models have that of digits.

    Args:
        size: One of `SIZES`.
        device: Device to run on.
        dtype: One of `sled.fast.PRECISIONS`, or "auto".
        threads: CPU threads of the model. None: as many as torch has.
        codec_threads: CPU threads of the codec. None: half as many as torch has.
    """
    model, codec = load_model(size, device, dtype, threads)
    bundled = BUNDLED_MODELS[size if size in BUNDLED_MODELS else "digits"]
    tokenizer = TextTokenizer.from_pretrained(
        bundled.folder, model.config.architecture.text_normalization
    )
    return TTS(model, tokenizer, codec, codec_threads)
