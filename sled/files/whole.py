"""Files that are whole or absent, even if the machine crashes while they are written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file, or replace an earlier one once the new one is on the disk.

    Args:
        path: The file.
        write: Writes the content to the path that it is given.

    Raises:
        OSError: If it cannot be written; an earlier file is untouched.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        write(partial)
        flush(partial)
        os.replace(partial, path)
    finally:  # a failed file may be what fills the disk
        partial.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Write what the system holds of a file to the disk.

    Raises:
        OSError: If it cannot be written, or the file system cannot flush what this is.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
