"""Makes a process start faster."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Turn the garbage collector off for a while, if it is on.

    Imports create millions of objects that stay alive. Searching them for garbage takes 15 % of
    the time of `import torch`. Afterwards the objects count as old: otherwise the first new object
    would start a search through all of them.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if not gc.get_freeze_count():  # do not unfreeze what the program froze itself
                gc.freeze()
                gc.unfreeze()  # into the oldest generation
            gc.enable()


@contextmanager
def lasting_imports() -> Iterator[None]:
    """Import without garbage collection, and freeze what exists afterwards.

    For commands, whose imports stay until the process ends. Frozen objects are not searched for
    garbage, neither later nor at the end of the process, where it would take 0.3 s.
    """
    with without_garbage_collection():
        yield
    gc.freeze()


def wait_without_spinning() -> None:
    """Let threads of OpenMP sleep while they wait; torch must not have been imported yet.

    By default they spin, and on a machine that is busy with other work they then take the time of
    those they wait for: training on two threads became many times slower than on one. Sleeping
    threads were as fast as one there.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
