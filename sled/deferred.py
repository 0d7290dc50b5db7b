"""Parts of torch that are executed when they are used, not when torch is imported.

`import torch` executes modules that only its exporter, its compiler and tensors without data need.
That is a third of its time, and speaking needs none of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from threading import RLock
from types import ModuleType
from typing import Any

# In the order in which torch imports them.
UNUSED_PARTS = ("torch.export", "torch._meta_registrations")
# These expect that torch has executed all of its parts.
COMPILER = ("torch._dynamo", "torch._prims")


@contextmanager
def without_unused_parts_of_torch() -> Iterator[None]:
    """Import torch in this context, and `UNUSED_PARTS` are executed later.

    All of them are executed when an attribute of one is first read, or when a module of `COMPILER`
    is imported. The lazy loader of the standard library would execute them one by one, and as soon
    as somebody asks where a module comes from, as torch does for all modules.
    """
    if "torch" in sys.modules:
        yield
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    yield
    finder.is_imported = True


class _Finder(MetaPathFinder):
    """Finds modules as usual, but defers `UNUSED_PARTS`.

    Attributes:
        is_imported: Whether the import of torch has come to its end.
    """

    def __init__(self) -> None:
        self.is_imported = False
        self._deferred: list[tuple[ModuleType, Loader]] = []
        self._lock, self._searching = RLock(), False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in COMPILER and self.is_imported:
            self.execute()
        if fullname not in UNUSED_PARTS or self._searching:
            return None
        self._searching = True
        try:
            spec = find_spec(fullname)
        finally:
            self._searching = False
        if spec is not None and spec.loader is not None:
            spec.loader = _DeferredLoader(self, spec.loader)
        return spec

    def defer(self, module: ModuleType, loader: Loader) -> None:
        """Remember a module to be executed."""
        self._deferred.append((module, loader))

    def execute(self) -> None:
        """Execute all deferred modules."""
        with self._lock:
            deferred, self._deferred = self._deferred, []
            for module, loader in deferred:
                module.__class__ = ModuleType
                loader.exec_module(module)


class _DeferredLoader(Loader):
    """Makes a module that is executed later."""

    def __init__(self, finder: _Finder, loader: Loader) -> None:
        self._finder, self._loader = finder, loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _DeferredModule(spec.name, self._finder)

    def exec_module(self, module: ModuleType) -> None:
        """Do it later."""
        self._finder.defer(module, self._loader)


class _DeferredModule(ModuleType):
    """A module without its contents. Python asks it only for attributes that it does not have."""

    def __init__(self, name: str, finder: _Finder) -> None:
        super().__init__(name)
        self.__finder = finder

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":  # asked for by those who list modules
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__finder.execute()
        return getattr(self, name)
