"""Chooses the precision and the fast form of a model for a device."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec

import torch

from sled.fast.cuda_graph import CudaGraphModel, GraphCapture
from sled.fast.fused import FusedModel
from sled.fast.int4 import Int4Matrix
from sled.fast.measured import describe, read_times, time_forms, write_times
from sled.fast.native import NativeModel, can_run, kernel_level
from sled.fast.native.library import sources_digest
from sled.fast.quantize import HEAD_MULTIPLE
from sled.files.cpu import cpu_name
from sled.files.extras import install_command
from sled.model.config import Architecture, Config
from sled.model.interface import FrameModel
from sled.model.lm import SpeechLM
from sled.model.tokens.lm import TokenLM

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ROUNDED = ("int8", "int4")
PRECISIONS = (*DTYPES, *ROUNDED)
# Smaller models are fast enough in float32: nothing is measured before they speak.
SMALL = 50e6


def choose_precision(
    parameter_count: int, device: torch.device, config: Config | None = None, measure: bool = True
) -> str:
    """Choose the default precision of a model on a device.

    float32 for small models and on MPS. On a GPU, bfloat16 if it supports that, else float16. On a
    CPU, the one in which a step of the model is fastest: as it was measured on this machine, when
    a model of such sizes was loaded for the first time. Never int4: how many more
    words it says wrong has to be counted for a model.

    Args:
        parameter_count: Number of parameters of the model.
        device: Device to run on.
        config: Sizes of a model of latents. None: its units are ids, for which there is no int8.
        measure: Whether to measure if that has not been done; else int8 is taken to be the fastest.
    """
    if parameter_count < SMALL or device.type == "mps":
        return "float32"
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    names = candidates(config)
    if "int8" not in names and config is not None and _rounds_in_runtime(config.architecture):
        logger.warning(
            "speaking in %s; int8 is several times faster: %s", names[-1], install_command("fast")
        )
    if config is None or len(names) == 1:
        return names[-1]
    described = describe(config, _machine(config))
    times = read_times(described, names)
    if times is None:
        if not measure:
            return names[-1]
        times = measure_forms(config)
    return min(times, key=times.__getitem__)


def candidates(config: Config | None) -> list[str]:
    """Return the precisions of which `auto` takes the fastest, as this CPU computes them.

    Args:
        config: As for `choose_precision`.

    Returns:
        The precisions. The last is usually the fastest.
    """
    if config is not None and can_run(config.architecture):  # several times as fast as bfloat16
        return ["float32", "int8"]
    names = ["float32", "bfloat16"] if _multiplies_bfloat16() else ["float32"]
    if config is not None and _rounds_in_runtime(config.architecture) and has_runtime():
        names.append("int8")
    return names


def _rounds_in_runtime(sizes: Architecture) -> bool:
    """Whether ONNX Runtime can run a model of these sizes in int8."""
    return sizes.head == "energy" and sizes.head_dim % HEAD_MULTIPLE == 0


def measure_forms(config: Config) -> dict[str, float]:
    """Measure the candidates for a model of latents, and keep what was measured on disk.

    Returns:
        Milliseconds of a step in each precision.
    """
    logger.info("measuring which precision is fastest on this machine")
    times = time_forms(config, candidates(config), make_fast)
    write_times(describe(config, _machine(config)), times)
    return times


def _machine(config: Config) -> str:
    """The processor, and the kernels that it has for a model."""
    level = kernel_level() if can_run(config.architecture) else None
    return f"{cpu_name()}, {level or 'no'} kernels {sources_digest() or ''}"


def loading_dtype(precision: str) -> torch.dtype | None:
    """Return the type in which to load the weights of a checkpoint for a precision.

    Returns:
        The type. None: as stored, since matrices are rounded one by one.
    """
    return DTYPES.get(precision)


def make_fast(
    model: SpeechLM | TokenLM,
    precision: str,
    threads: int | None = None,
    *,
    show_attention: bool = False,
    int4: Mapping[str, Int4Matrix] | None = None,
) -> FrameModel:
    """Convert a model to its fast form, if it has one.

    Args:
        model: In evaluation mode, on its device. Its weights are moved: do not use it any more.
        precision: One of `PRECISIONS`.
        threads: CPU threads, for forms that have their own. None: as many as torch uses.
        show_attention: Choose a form that shows its attention, if there is one of this precision.
        int4: The matrices of the layers for int4, as `sled.fast.int4.read_int4` returns them.

    Raises:
        ValueError: If the precision is unknown or not available on the device.
    """
    if precision in DTYPES:
        model = model.to(DTYPES[precision])
        if isinstance(model, TokenLM):
            return model
        if show_attention:
            return FusedModel(model)
        if model.ids is not None:  # how they are drawn depends on the past of each utterance
            return FusedModel(model)
        if model.device.type == "cuda":
            return CudaGraphModel(model, GraphCapture(model.device))
        if precision == "float32" and _runs_natively(model):
            return NativeModel(model, 32, threads)
        return FusedModel(model)
    if precision not in ROUNDED:
        raise ValueError(f"dtype={precision!r}: choose one of {', '.join(PRECISIONS)}")
    if isinstance(model, TokenLM) or model.ids is not None:
        raise ValueError(f"{precision} is for models of latent vectors: use float32 or bfloat16")
    if (head := model.config.architecture.head) != "energy":
        raise ValueError(f"{precision} is for the energy head, and this one is {head}: use float32")
    if model.device.type != "cpu":
        raise ValueError(f"{precision} runs on CPUs only: use bfloat16 on {model.device}")
    if precision == "int4" and not _runs_natively(model):
        raise ValueError("int4 needs the compiled kernels, see sled doctor: use int8")
    if precision == "int4":
        if int4 is None:
            raise ValueError("int4 needs the matrices of the layers, as read_int4 returns them")
        return NativeModel(model, 8, threads, int4=int4)
    if _runs_natively(model):
        return NativeModel(model, 8, threads)
    if not has_runtime():
        raise ValueError(f"{precision} needs onnx and onnxruntime: {install_command('fast')}")
    from sled.fast.onnx_model import OnnxModel  # imports onnxruntime

    return OnnxModel(model, 8, threads)


def _runs_natively(model: SpeechLM) -> bool:
    return model.device.type == "cpu" and can_run(model.config.architecture)


def has_runtime() -> bool:
    """Whether onnx and onnxruntime are installed."""
    return all(find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def _multiplies_bfloat16() -> bool:
    """Whether the CPU has bfloat16 instructions, which torch tells only in private functions."""
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)
