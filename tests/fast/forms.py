"""The fast forms of tiny models."""

import pytest
import torch

from sled.fast import DTYPES, make_fast
from sled.fast.cuda_graph import CudaGraphModel, repeat_eagerly
from sled.fast.precision import BITS, has_runtime
from sled.model.interface import FrameModel
from tests.debug import debug_model

NEEDS_RUNTIME = pytest.mark.skipif(not has_runtime(), reason="needs onnx and onnxruntime")
# Sizes that ONNX Runtime supports.
SIZES = {"num_attention_heads": 2, "diffloss_w": 32}
# For pytest.mark.parametrize. "cuda_graph" is the form for GPUs, "onnx" that of ONNX Runtime with
# float32 weights and cache.
EXACT = ["float32", "cuda_graph", pytest.param("onnx", marks=NEEDS_RUNTIME)]
ROUNDED = [pytest.param(name, marks=NEEDS_RUNTIME) for name in BITS]


def plain_model(seed: int = 0, **changes: object) -> FrameModel:
    """The plain form."""
    return debug_model(seed, **(SIZES | changes))


def fast_model(form: str, seed: int = 0, **changes: object) -> FrameModel:
    """A fast form of the same model."""
    model = debug_model(seed, **(SIZES | changes))
    if form == "cuda_graph":
        return CudaGraphModel(model, repeat_eagerly)
    if form != "onnx":
        return make_fast(model.to(DTYPES.get(form, torch.float32)), form)
    from sled.fast.onnx_model import OnnxModel

    return OnnxModel(model, bits=32, cache_dtype=torch.float32)
