"""The fast forms of tiny models."""

import pytest
import torch

from sled.fast import DTYPES
from sled.fast.cuda_graph import CudaGraphModel, repeat_eagerly
from sled.fast.fused import FusedModel
from sled.fast.int4 import round_layers
from sled.fast.native import NativeModel, kernel_level
from sled.fast.native.library import LEVELS
from sled.fast.precision import has_runtime
from sled.model.interface import FrameModel
from tests.debug import debug_model

NEEDS_RUNTIME = pytest.mark.skipif(not has_runtime(), reason="needs onnx and onnxruntime")
# Sizes that ONNX Runtime supports.
SIZES = {"num_attention_heads": 2, "diffloss_w": 32}
NEEDS_KERNELS = pytest.mark.skipif(kernel_level() is None, reason="the kernels are not compiled")
# For pytest.mark.parametrize. "cuda_graph" is the form for GPUs, "onnx" that of ONNX Runtime with
# float32 weights and cache, "native" that of the compiled kernels.
EXACT = [
    "float32",
    "cuda_graph",
    pytest.param("onnx", marks=NEEDS_RUNTIME),
    pytest.param("native", marks=NEEDS_KERNELS),
    pytest.param("native_avx2", marks=NEEDS_KERNELS),
]
ROUNDED = [
    pytest.param("int8", marks=NEEDS_RUNTIME),
    pytest.param("native_int8", marks=NEEDS_KERNELS),
    pytest.param("native_int4", marks=NEEDS_KERNELS),
    pytest.param("native_int4_avx2", marks=NEEDS_KERNELS),
]


def plain_model(seed: int = 0, **changes: object) -> FrameModel:
    """The plain form."""
    return debug_model(seed, **(SIZES | changes))


def fast_model(form: str, seed: int = 0, **changes: object) -> FrameModel:
    """A fast form of the same model."""
    model = debug_model(seed, **(SIZES | changes))
    if form == "cuda_graph":
        return CudaGraphModel(model, repeat_eagerly)
    if form.startswith("native"):
        level = next((level for level in LEVELS.values() if level in form), None)
        int4 = round_layers(model) if "int4" in form else None
        return NativeModel(model, 8 if "int" in form else 32, level=level, int4=int4)
    if form in DTYPES:
        return FusedModel(model.to(DTYPES[form]))
    from sled.fast.onnx_model import OnnxModel

    bits = 8 if form == "int8" else 32
    return OnnxModel(model, bits, cache_dtype=torch.float32 if bits == 32 else torch.float16)
