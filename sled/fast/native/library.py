"""Opens the compiled kernels.

Functions and structures are those of kernels/model.h; see its comments.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import threading
import weakref
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_float, c_int, c_int64, c_void_p
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

from torch import Tensor

logger = logging.getLogger(__name__)

NAME = "_kernels"
# Names of the kernels by the level that `sled_level` returns for the CPU.
LEVELS = {1: "avx2", 2: "avx512", 3: "amx"}


class Matrix(Structure):
    """A packed matrix."""

    _fields_ = (
        ("weights", c_void_p),
        ("scales", c_void_p),
        ("bias", c_void_p),
        ("num_outputs", c_int),
        ("num_inputs", c_int),
        ("kind", c_int),
        ("group", c_int),
        ("block", c_int),
    )


class Layer(Structure):
    """A decoder layer."""

    _fields_ = (
        *((name, Matrix) for name in ("qkv", "out", "gate_up", "down")),
        ("attention_norm", c_void_p),
        ("mlp_norm", c_void_p),
    )


class Block(Structure):
    """A residual block of the energy head."""

    _fields_ = (
        ("norm_gain", c_void_p),
        ("norm_shift", c_void_p),
        *((name, Matrix) for name in ("modulation", "first", "second")),
    )


class Model(Structure):
    """Sizes and weights."""

    _fields_ = (
        *(
            (name, c_int)
            for name in ("hidden", "heads", "kv_heads", "head_dim", "inner", "num_layers")
        ),
        ("epsilon", c_float),
        ("cache_kind", c_int),
        ("cos", c_void_p),
        ("sin", c_void_p),
        ("final_norm", c_void_p),
        ("layers", POINTER(Layer)),
        ("unit", Matrix),
        ("unit_gain", c_void_p),
        ("unit_shift", c_void_p),
        *((name, c_int) for name in ("width", "noise", "latent", "num_blocks")),
        ("head_epsilon", c_float),
        *((name, Matrix) for name in ("noise_input", "hidden_input", "final_modulation", "final")),
        ("blocks", POINTER(Block)),
    )


class CachedRow(Structure):
    """Keys and values of a row, with strides in elements, and the scales of those in bytes."""

    _fields_ = (
        *((name, c_void_p) for name in ("keys", "values", "key_scales", "value_scales")),
        ("layer_stride", c_int64),
        ("head_stride", c_int64),
    )


class Convolution(Structure):
    """A convolution, or a transposed one."""

    _fields_ = (
        ("matrix", Matrix),
        ("tail", Matrix),
        *((name, c_int) for name in ("taps", "stride", "num_inputs", "num_outputs")),
    )


class Recurrence(Structure):
    """An LSTM layer."""

    _fields_ = (("input", Matrix), ("hidden", Matrix))


class Residual(Structure):
    """A residual block of Encodec."""

    _fields_ = (
        *((name, Convolution) for name in ("first", "second", "shortcut")),
        ("has_shortcut", c_int),
    )


class Decoder(Structure):
    """The decoder of Encodec."""

    _fields_ = (
        *((name, c_int) for name in ("latent", "padding", "hop", "frames_at_once")),
        *((name, c_int) for name in ("num_recurrences", "num_ups", "num_residuals")),
        ("first", Convolution),
        ("last", Convolution),
        ("recurrences", POINTER(Recurrence)),
        ("ups", POINTER(Convolution)),
        ("residuals", POINTER(Residual)),
    )


class ConvNext(Structure):
    """A block of a spectral codec's decoder."""

    _fields_ = (
        *((name, c_void_p) for name in ("taps", "bias", "norm_gain", "norm_shift")),
        ("expand", Matrix),
        ("reduce", Matrix),
        ("scale", c_void_p),
    )


class SpectralNetwork(Structure):
    """The network of a spectral codec's decoder."""

    _fields_ = (
        ("first", Convolution),
        ("widen", Matrix),
        ("norm_gain", c_void_p),
        ("norm_shift", c_void_p),
        *((name, c_int) for name in ("width", "inner", "taps", "columns", "num_blocks")),
        ("blocks", POINTER(ConvNext)),
        ("last_gain", c_void_p),
        ("last_shift", c_void_p),
        ("last", Matrix),
    )


def addresses(tensors: Sequence[Tensor]) -> object:
    """An array of the addresses of tensors, which must live until it has been used."""
    return (c_void_p * len(tensors))(*(one.data_ptr() for one in tensors))


class Library:
    """The functions for one kind of CPU.

    Args:
        library: The shared library.
        level: One of `LEVELS`.
    """

    def __init__(self, library: ctypes.CDLL, level: str) -> None:
        def function(name: str, result: Any, *arguments: Any) -> Any:
            found = getattr(library, f"sled_{name}_{level}")
            found.restype, found.argtypes = result, arguments
            return found

        numbers, one = c_void_p, c_int
        self.level = level
        self.open = function("open", c_void_p, c_void_p, one)
        self.close = function("close", None, c_void_p)
        self.embed = function("embed", one, c_void_p, numbers, one, numbers)
        self.advance = function(
            "advance",
            *(one, c_void_p, one, numbers, one, numbers, numbers, numbers, one),
            *(numbers, numbers),
        )
        self.draw = function(
            "draw",
            *(one, c_void_p, one, numbers, one, numbers, one, numbers, numbers, numbers),
        )
        self.decode = function(
            "decode",
            *(one, c_void_p, POINTER(Decoder), numbers, one, one),
            *(POINTER(c_void_p), POINTER(c_void_p), numbers),
        )
        self.filter = function(
            "filter",
            *(one, c_void_p, POINTER(SpectralNetwork), numbers, one, one),
            *(POINTER(c_void_p), POINTER(c_void_p), numbers),
        )


class Kernels:
    """The kernels with threads and working memory. Calls from several threads take turns.

    Args:
        library: The functions.
        model: The model for `embed`, `advance` and `draw`. None: they are not called.
        threads: Number of threads.
    """

    def __init__(self, library: Library, model: Model | None, threads: int) -> None:
        self._library, self._lock = library, threading.Lock()
        place = None if model is None else ctypes.addressof(model)
        self._context = c_void_p(library.open(place, threads))
        # Not at the end of the process: a thread of an open session may still be in a call then.
        weakref.finalize(self, library.close, self._context).atexit = False

    def call(self, name: str, *arguments: object) -> None:
        """Call a function.

        Raises:
            MemoryError: If there is no working memory.
        """
        with self._lock:
            failed = getattr(self._library, name)(self._context, *arguments)
        if failed:
            raise MemoryError("the kernels found no memory")


@cache
def open_library(level: str | None = None) -> Library | None:
    """Open the kernels; None if they were not compiled, or this CPU cannot run them.

    Args:
        level: The instructions to use. None: the best that the CPU has.
    """
    paths = [Path(__file__).with_name(NAME + suffix) for suffix in EXTENSION_SUFFIXES]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:  # compiled on another system
        logger.warning("the compiled kernels cannot be loaded (%s): install sled again", error)
        return None
    library.sled_sources.restype = ctypes.c_char_p
    if sources_digest() not in (None, library.sled_sources().decode()):
        logger.warning(
            "the compiled kernels are of another version and are not used: install sled again"
        )
        return None
    best = LEVELS.get(library.sled_level())
    return None if best is None else Library(library, level or best)


def sources_digest() -> str | None:
    """The digest of the sources of the kernels; None if they are not there."""
    sources = sorted(Path(__file__).with_name("kernels").glob("*.[ch]"))
    content = b"".join(path.read_bytes() for path in sources)
    return hashlib.sha256(content).hexdigest() if sources else None


def kernel_level() -> str | None:
    """Return the instructions that the kernels use on this CPU; None if there are no kernels."""
    library = open_library()
    return None if library is None else library.level
