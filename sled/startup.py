"""What lets a process start sooner."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Leave the garbage collector off for a while, if it is on.

    For imports: they make millions of objects, all of which stay, and looking for garbage among
    them took a tenth to a quarter of the time in which torch and transformers are imported.
    Afterwards they count as old, or the first new object would have all of them looked through.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if not gc.get_freeze_count():  # else it would thaw what a program froze on purpose
                gc.freeze()
                gc.unfreeze()  # into the oldest generation
            gc.enable()
