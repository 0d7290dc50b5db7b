"""Forms of the model that do nothing but decode, made from the plain form when it is loaded.

Their weights are arranged, and if asked for rounded, for the short passes of decoding; checkpoints
stay as they are. All of them are a `sled.decoding.FrameModel`.
"""

from sled.fast.fused import FusedModel
from sled.fast.precision import DTYPES, PRECISIONS, choose_precision, loading_dtype, make_fast

__all__ = ["DTYPES", "PRECISIONS", "FusedModel", "choose_precision", "loading_dtype", "make_fast"]
