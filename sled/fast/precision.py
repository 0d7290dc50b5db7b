"""In which precision a model speaks on which machine."""

from __future__ import annotations

import logging
from importlib.util import find_spec

import torch

from sled.decoding import FrameModel
from sled.fast.cuda_graph import GraphRecorder, StaticModel
from sled.fast.fused import FusedModel
from sled.model.config import Config
from sled.model.lm import SpeechLlamaForCausalLM, num_parameters

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BITS = {"int8": 8, "int4": 4}
PRECISIONS = (*DTYPES, *BITS)
# Of parameters: smaller models are faster than they need be in any precision.
SMALL = 50e6
EXTRA = "pip install 'sled[fast]'"


def choose_precision(config: Config, device: torch.device) -> str:
    """The precision to speak in where none is asked for.

    float32 for models so small that nothing else is needed. On a GPU, bfloat16 where it has it.
    On a processor int8, which takes onnxruntime; without that, bfloat16 if the processor multiplies
    it itself (others are slower with it than with float32). Never int4, which is heard.
    """
    if num_parameters(config) < SMALL or device.type == "mps":
        return "float32"
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if has_runtime():
        return "int8"
    fallback = "bfloat16" if _multiplies_bfloat16() else "float32"
    logger.warning("speaking in %s; int8 is several times faster: %s", fallback, EXTRA)
    return fallback


def loading_dtype(precision: str) -> torch.dtype:
    """The type to load a checkpoint's weights in, which need not be finer than they will be."""
    return DTYPES.get(precision, torch.bfloat16)


def make_fast(
    model: SpeechLlamaForCausalLM, precision: str, threads: int | None = None
) -> FrameModel:
    """The fast form of a model.

    Args:
        model: In evaluation mode, on its device. It is taken apart: do not use it any more.
        precision: One of `PRECISIONS`.
        threads: Of the processor; for int8 and int4 only. None: as many as torch has.

    Raises:
        ValueError: If that precision is not to be had here.
    """
    if precision in DTYPES:
        model = model.to(DTYPES[precision])
        on_gpu = model.device.type == "cuda"
        return StaticModel(model, GraphRecorder(model.device)) if on_gpu else FusedModel(model)
    if precision not in BITS:
        raise ValueError(f"dtype={precision!r}: choose one of {', '.join(PRECISIONS)}")
    if model.device.type != "cpu":
        raise ValueError(f"{precision} runs on the processor only: use bfloat16 on {model.device}")
    if not has_runtime():
        raise ValueError(f"{precision} needs onnx and onnxruntime: {EXTRA}")
    from sled.fast.onnx_model import GraphModel  # which imports them

    return GraphModel(model, BITS[precision], threads)


def has_runtime() -> bool:
    """Whether ONNX Runtime, and what makes graphs for it, are installed."""
    return all(find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def _multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for it. torch keeps these questions to itself."""
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)
