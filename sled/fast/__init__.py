"""Fast forms of the model for decoding, made when a checkpoint is loaded.

Each form is a `FrameModel` with fused and, on request, quantized weights. Checkpoints on disk stay
unchanged.
"""

from sled.fast.fused import FusedModel
from sled.fast.native.codec import use_kernels
from sled.fast.precision import DTYPES, PRECISIONS, choose_precision, loading_dtype, make_fast

__all__ = [
    "DTYPES",
    "PRECISIONS",
    "FusedModel",
    "choose_precision",
    "loading_dtype",
    "make_fast",
    "use_kernels",
]
