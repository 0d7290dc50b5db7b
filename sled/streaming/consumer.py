"""What the decoding thread works for: sessions, and other tasks of the model."""

from __future__ import annotations

import math
from collections.abc import Generator
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

from torch import Tensor

T = TypeVar("T")


class Consumer(Protocol):
    """Receives the frames of an utterance. The engine serves it from its first command on."""

    @property
    def closed(self) -> bool:
        """Whether the consumer needs no more work of the engine."""
        ...

    def lead_s(self, now_s: float) -> float:
        """How far its audio is ahead of its listener, in seconds; on the decoding thread.

        Infinite if it is further ahead than it needs to be, or nobody listens.

        Args:
            now_s: The time by `time.perf_counter`.
        """
        ...

    def on_frame(self, unit: Tensor, stopped: bool, exhausted: bool) -> None:
        """Take the next frame of its utterance; on the decoding thread.

        Args:
            unit: The unit of the frame.
            stopped: Whether the utterance stopped at this frame, which is not speech.
            exhausted: Whether the utterance was cut after this frame.
        """
        ...

    def fail(self, error: BaseException) -> None:
        """End with an error; from any thread."""
        ...


class Task(Generic[T]):
    """Work for the decoding thread that is not a session's, as a `Consumer` without frames.

    Args:
        steps: Does a part of the work at each `next`, and returns the result.
    """

    def __init__(self, steps: Generator[None, None, T]) -> None:
        self.result: Future[T] = Future()
        self._steps = steps
        self.closed = False

    def advance(self) -> None:
        """Do the next part of the work."""
        try:
            next(self._steps)
        except StopIteration as end:
            self.closed = True
            self.result.set_result(end.value)

    def lead_s(self, now_s: float) -> float:
        """See `Consumer`."""
        return math.inf

    def on_frame(self, unit: Tensor, stopped: bool, exhausted: bool) -> None:
        """Never called, as there is no utterance."""

    def fail(self, error: BaseException) -> None:
        """See `Consumer`."""
        self.closed = True
        self.result.set_exception(error)
