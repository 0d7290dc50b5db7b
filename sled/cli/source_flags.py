"""The flags of commands whose parser takes seconds to import, for completion in a shell."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path


def read_flags(settings: Iterable[str]) -> list[str]:
    """The flags that transformers' `HfArgumentParser` makes of dataclasses.

    They are read from the source code, because importing it would import torch.

    Args:
        settings: The dataclasses, as "package.module:Class".
    """
    flags: dict[str, None] = {}
    for one in settings:
        module, _, name = one.partition(":")
        tree = ast.parse(_source(module).read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                flags |= dict.fromkeys(_flags_of(node))
    return list(flags)


def _source(module: str) -> Path:
    """The file of a module, of which nothing is imported."""
    package, *parts = module.split(".")
    spec = find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], *parts).with_suffix(".py")


def _flags_of(dataclass: ast.ClassDef) -> Iterator[str]:
    for node in dataclass.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        code = ast.unparse(node)
        if "init=False" not in code and "ClassVar" not in code:
            yield f"--{node.target.id}"
            yield from re.findall(r"'(--\w+)'", code)  # aliases
