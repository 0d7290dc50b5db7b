"""What identifies the files of a model or a judge."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sled.bundled import bundled_model

# Of files that are larger, the beginning and the size are taken.
MAX_BYTES = 1 << 20
SUFFIXES = (".safetensors", ".json", ".onnx", ".bin", ".th", ".yaml", ".txt")


@cache
def folder_digest(name_or_path: str | None) -> str | None:
    """Return a digest of a model's files, or None if it is not a folder or file of this machine.

    Args:
        name_or_path: A bundled model, folder or file. None: the default bundled model.
    """
    bundled = bundled_model(name_or_path)
    path = Path(name_or_path or "") if bundled is None else bundled.folder
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = sorted(
            one
            for one in path.rglob("*")
            if one.suffix in SUFFIXES and "checkpoint-" not in str(one.relative_to(path))
        )
    else:
        return None
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        with file.open("rb") as stream:
            begin = stream.read(MAX_BYTES)
            if size > 2 * MAX_BYTES:
                stream.seek(-MAX_BYTES, 2)
            end = stream.read(MAX_BYTES)
        digest.update(f"{file.name if path.is_file() else file.relative_to(path)} {size}".encode())
        digest.update(begin + end)
    return digest.hexdigest()[:12]


def package_version(package: str) -> str:
    """Return a package with its version, as far as it is known."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package
