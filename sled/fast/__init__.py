"""Forms of the model that only decode, made from the plain form when a checkpoint is loaded.

Their weights are fused and, if asked for, rounded. Checkpoints on disk stay as they are. Each form
is a `FrameModel`.
"""

from sled.fast.fused import FusedModel
from sled.fast.precision import DTYPES, PRECISIONS, choose_precision, loading_dtype, make_fast

__all__ = ["DTYPES", "PRECISIONS", "FusedModel", "choose_precision", "loading_dtype", "make_fast"]
