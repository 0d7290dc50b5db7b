"""Who makes the present request: set once for each request, and read wherever it is needed.

A task inherits it from the task that started it, so that no door has to pass it on.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from sled.serving.keys import ANYONE, Key


@dataclass(frozen=True)
class Caller:
    """Who makes a request.

    Attributes:
        request_id: The name of the request, as logs and answers have it.
        key: The key that was given.
    """

    request_id: str = ""
    key: Key = ANYONE


_NOBODY = Caller()
_caller: ContextVar[Caller] = ContextVar("caller")


def present_caller() -> Caller:
    """Who makes the present request; anyone, outside of one."""
    return _caller.get(_NOBODY)


def set_caller(caller: Caller) -> None:
    """Note who makes the present request."""
    _caller.set(caller)
