"""Errors of data workers, with messages for users."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def explained_worker_errors() -> Iterator[None]:
    """Raise errors of data workers, which PyTorch wraps, with their own message or a remedy.

    Raises:
        ValueError: If a worker raised a ValueError, or died.
    """
    try:
        yield
    except ValueError as error:
        if not str(error).startswith("Caught ValueError in DataLoader worker"):
            raise
        # The message follows the traceback of the worker.
        raise ValueError(str(error).rpartition("\nValueError: ")[2].strip()) from error
    except (RuntimeError, ConnectionError) as error:
        # A worker that dies while it hands over a batch breaks the connection.
        if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker"):
            raise
        raise ValueError(
            f"a data worker died ({str(error).strip()}), perhaps for lack of memory: start the "
            "same command again to continue from the last checkpoint, if necessary with fewer "
            "--dataloader_num_workers"
        ) from error
