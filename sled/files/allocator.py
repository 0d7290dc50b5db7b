"""Memory of a process that runs for months: the allocator of the C library, garbage of Python."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from typing import cast

# malloc.h of glibc
M_ARENA_MAX = -8


def keep_one_arena() -> None:
    """Let all threads allocate in one arena, if the C library is glibc.

    By default each thread allocates in its own, and what was freed in one stays there: the memory
    of a server grew by a quarter over 2,800 sessions, though hardly more of it was used. To be
    called before other threads begin.
    """
    if (mallopt := _function("mallopt")) is not None:
        mallopt(M_ARENA_MAX, 1)


def return_memory() -> None:
    """Give the system what was freed, if the C library is glibc.

    What lies between blocks that are still used is otherwise kept: tens of megabytes, and a little
    more after thousands of sessions; or a model whose weights were packed. Allocations wait
    meanwhile, so nobody should be speaking.
    """
    if (trim := _function("malloc_trim")) is not None:
        trim(0)


def keep_for_good() -> None:
    """Let the garbage collector look only at objects that are made from now on.

    All modules, the model and the application are hundreds of thousands of objects, and looking at
    them stops all threads for 0.1 s and more, at any time. Python therefore does it only after as
    many as a quarter of them are new: what ended sessions leave behind, such as buffers that refer
    to each other, would stay for thousands of sessions, and scatter the memory.
    """
    gc.collect()
    gc.freeze()


def _function(name: str) -> Callable[..., int] | None:
    """A function of the C library; None if it has another one."""
    try:
        return cast(Callable[..., int], getattr(ctypes.CDLL(None), name))
    except (AttributeError, OSError, TypeError):
        return None
