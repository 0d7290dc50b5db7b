"""The model in kernels written in C, for CPUs with AVX2 or AVX-512.

The kernels are compiled when the package is installed, if there is a compiler; without them, other
forms are used.
"""

from sled.fast.native.library import kernel_level
from sled.fast.native.model import NativeModel, can_run

__all__ = ["NativeModel", "can_run", "kernel_level"]
