"""Configurations in HyperPyYAML, read as plain values.

HyperPyYAML makes objects of the classes that a file names. Here nothing that a file names is
imported: `!new:`, `!name:` and `!apply:` are maps with the name as `CLASS`, and only `!ref` is
followed. So a file from anywhere can be read.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

CLASS = "__class__"
_REFERENCE = re.compile(r"<([^<>]+)>")
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


class _Reference(str):
    """What follows `!ref`."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML ships no types
    """Reads tags as maps, and numbers such as 1e-5, which YAML 1.1 takes for text."""


def _read_named(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {CLASS: suffix} | loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return {CLASS: suffix, "arguments": loader.construct_sequence(node, deep=True)}
    return {CLASS: suffix}


def _read_reference(loader: yaml.SafeLoader, node: yaml.Node) -> _Reference:
    if not isinstance(node, yaml.ScalarNode):
        raise yaml.constructor.ConstructorError(None, None, "!ref takes a name", node.start_mark)
    return _Reference(loader.construct_scalar(node))


for _tag in ("!new:", "!name:", "!apply:"):
    _Loader.add_multi_constructor(_tag, _read_named)
_Loader.add_constructor("!ref", _read_reference)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def read_hyperpyyaml(path: Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read a file, and put values in the place of references to them.

    Args:
        path: The file.
        overrides: Top-level values in the place of those of the file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not of this form.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is no HyperPyYAML that can be read: {reason}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no map of settings: name a configuration")
    content |= overrides or {}
    resolved: dict[str, Any] = _Resolver(path, content).resolve(content, ())
    return resolved


class _Resolver:
    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self._path, self._content = path, content

    def resolve(self, value: Any, within: tuple[str, ...]) -> Any:
        """Replace references in a value; `within` are the references that led to it."""
        if isinstance(value, _Reference):
            return self._follow(value, within)
        if isinstance(value, dict):
            return {key: self.resolve(one, within) for key, one in value.items()}
        if isinstance(value, list):
            return [self.resolve(one, within) for one in value]
        return value

    def _follow(self, reference: str, within: tuple[str, ...]) -> Any:
        whole = _REFERENCE.fullmatch(reference.strip())
        if whole:
            return self._value(whole[1], within)
        numbers = _REFERENCE.sub(lambda match: repr(self._value(match[1], within)), reference)
        try:
            return _calculate(ast.parse(numbers.strip(), mode="eval").body)
        except (SyntaxError, ValueError, TypeError, ZeroDivisionError) as error:
            raise ValueError(
                f"{self._path}: !ref {reference} is no reference and no arithmetic of numbers"
            ) from error

    def _value(self, name: str, within: tuple[str, ...]) -> Any:
        if name in within:
            raise ValueError(f"{self._path}: {name} refers to itself")
        value: Any = self._content
        for part in re.findall(r"[^\[\].]+", name):
            if not isinstance(value, dict) or part not in value:
                raise ValueError(f"{self._path}: !ref <{name}> names nothing in it")
            value = value[part]
        return self.resolve(value, (*within, name))


def _calculate(node: ast.expr) -> float:
    """Calculate with numbers; nothing else is possible."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _calculate(node.left), _calculate(node.right)
        if isinstance(node.op, ast.Pow) and abs(right) > 64:
            raise ValueError("too large a power")
        result: float = _OPERATORS[type(node.op)](left, right)
        return result
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_calculate(node.operand)
    raise ValueError("not arithmetic of numbers")
