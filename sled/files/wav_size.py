"""How much of a WAV file is missing: libsndfile reads a file that was cut off as a shorter one."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

# Programs that write to a pipe do not know the size of the data, and write 0 or about the largest
# number, with or without a sign.
_UNKNOWN_FROM = 0x7FFF0000


def missing_seconds(path: Path) -> float:
    """Seconds of audio that the header of a WAV file announces and the file does not have.

    Args:
        path: A file. Of one that is no WAV file (RIFF, RIFX or RF64) nothing is missing, nor of one
            whose header does not tell the size.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        order = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">"}.get(file.read(4))
        if order is None or len(file.read(4)) < 4 or file.read(4) != b"WAVE":
            return 0.0
        return _missing_seconds(file, size, order)


def _missing_seconds(file: BinaryIO, size: int, order: str) -> float:
    """The same for an open file of a size, after its first 12 bytes."""
    bytes_per_s, long_size = 0, 0
    while len(header := file.read(8)) == 8:
        length: int
        name, length = struct.unpack(f"{order}4sI", header)
        start = file.tell()
        if name == b"data":
            length = long_size or (length if length < _UNKNOWN_FROM else 0)
            return max(0, length - (size - start)) / bytes_per_s if bytes_per_s else 0.0
        if name == b"ds64" and len(sizes := file.read(16)) == 16:
            long_size = struct.unpack(f"{order}QQ", sizes)[1]
        if name == b"fmt " and len(form := file.read(12)) == 12:
            bytes_per_s = struct.unpack(f"{order}HHII", form)[3]
        file.seek(start + length + length % 2)
    return 0.0
