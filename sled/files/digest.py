"""Digests of tensors and files, and whether files have changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sled.files.progress import track

# Bytes of a file that are read at a time.
_CHUNK = 2**20


def tensor_digest(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return the hexadecimal SHA-256 of named tensors, in the given order and precision."""
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def digest_files(paths: Sequence[Path]) -> str:
    """Return the hexadecimal SHA-256 of the contents of files, in the given order.

    Raises:
        ValueError: If one cannot be read.
    """
    digest = hashlib.sha256()
    for path in track(paths, "reading", "file"):
        content = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    content.update(chunk)
        except (OSError, ValueError) as error:
            raise ValueError(f"cannot read {path} ({error}): check the path") from error
        digest.update(content.digest())
    return digest.hexdigest()


def source_of(path: Path) -> str:
    """What tells whether a file has changed: its size in bytes, and its time in nanoseconds.

    Raises:
        OSError: If there is no such file.
    """
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"
