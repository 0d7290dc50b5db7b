"""Builds modules whose weights are loaded afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from typing_extensions import override


@contextmanager
def without_weights() -> Iterator[None]:
    """Build modules on the meta device, without memory and without initialisation.

    With `torch.device("meta")` alone, drawing the initial values imports torch._dynamo, which takes
    almost as long as importing torch.
    """
    with torch.device("meta"), _NoInitialization():
        yield


class _NoInitialization(TorchFunctionMode):
    """Makes the functions of torch.nn.init do nothing."""

    @override
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
