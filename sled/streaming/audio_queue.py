"""Where a session's audio waits to be taken, by threads or by tasks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Chunk:
    """A piece of speech.

    Attributes:
        audio: [S] float32.
        latents: [T, D] frames that went into the codec for it. What comes out at once can be less
            than they make, see `StreamingDecoder.lookahead_frames`.
        ready_at_s: When it could first be taken, by `time.perf_counter`.
    """

    audio: np.ndarray
    latents: Tensor
    ready_at_s: float = field(default_factory=time.perf_counter)


class Sink:
    """A queue of chunks with an end.

    Args:
        on_taken: Called, by whoever takes, with the number of samples that are left.
    """

    def __init__(self, on_taken: Callable[[int], None]) -> None:
        self._on_taken = on_taken
        self._chunks: deque[Chunk] = deque()
        self._num_samples = 0
        self._held_until_s = 0.0
        self._released = self._ended = False
        self._error: BaseException | None = None
        self._condition = threading.Condition()
        self._tasks: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def ended(self) -> bool:
        """Whether nothing more comes, and not because something went wrong."""
        return self._ended and self._error is None

    @property
    def error(self) -> BaseException | None:
        """What went wrong, if anything did."""
        return self._error

    @property
    def num_samples(self) -> int:
        """Samples that wait."""
        return self._num_samples

    def waiting(self) -> list[Chunk]:
        """The chunks that wait, which stay."""
        with self._condition:
            return list(self._chunks)

    def put(self, chunk: Chunk) -> None:
        """Add a chunk; after the end it is dropped."""
        with self._condition:
            if not self._ended:
                self._chunks.append(chunk)
                self._num_samples += len(chunk.audio)
            self._wake()

    def hold(self, seconds: float) -> None:
        """Let nothing be taken for so many seconds, unless it is released before."""
        with self._condition:
            if not self._released:
                self._held_until_s = time.perf_counter() + seconds

    def release(self) -> None:
        """Hold nothing back, now and ever after."""
        with self._condition:
            self._released = True
            self._held_until_s = min(self._held_until_s, time.perf_counter())
            self._wake()

    def end(self, error: BaseException | None = None, *, drop: bool = False) -> None:
        """Nothing more comes.

        Args:
            error: Why, if not because all has been said; raised to whoever takes.
            drop: Throw away what waits, too.
        """
        with self._condition:
            if not self._ended:
                self._ended, self._error = True, error
            if drop:
                self._chunks.clear()
                self._num_samples = 0
            self.release()

    def take(self) -> Chunk | None:
        """The next chunk, as soon as there is one; None at the end."""
        with self._condition:
            while not self._is_ready():
                self._condition.wait(self._wait_s())
            chunk = self._pop()
        return self._taken(chunk)

    async def take_async(self) -> Chunk | None:
        """`take` for a task: other tasks go on while this one waits."""
        arrived = (asyncio.get_running_loop(), asyncio.Event())
        try:
            while True:
                with self._condition:
                    if self._is_ready():
                        chunk = self._pop()
                        break
                    arrived[1].clear()
                    self._tasks.add(arrived)
                    wait_s = self._wait_s()
                await _wait(*arrived, wait_s)
        finally:  # also if the task has been cancelled
            with self._condition:
                self._tasks.discard(arrived)
        return self._taken(chunk)

    def _is_ready(self) -> bool:
        return self._ended or bool(self._chunks and self._held_s() <= 0)

    def _held_s(self) -> float:
        return self._held_until_s - time.perf_counter()

    def _wait_s(self) -> float | None:
        """How long it may take until something can be taken that is here already."""
        return max(self._held_s(), 0.0) if self._chunks else None

    def _pop(self) -> Chunk | None:
        if self._chunks:
            chunk = self._chunks.popleft()
            self._num_samples -= len(chunk.audio)
            return replace(chunk, ready_at_s=max(chunk.ready_at_s, self._held_until_s))
        if self._error is not None:
            raise self._error
        return None

    def _taken(self, chunk: Chunk | None) -> Chunk | None:
        if chunk is not None:
            self._on_taken(self.num_samples)
        return chunk

    def _wake(self) -> None:
        self._condition.notify_all()
        for loop, event in self._tasks:
            with suppress(RuntimeError):  # the loop has been closed, and nobody waits any more
                loop.call_soon_threadsafe(event.set)


async def _wait(
    loop: asyncio.AbstractEventLoop, event: asyncio.Event, seconds: float | None
) -> None:
    """Wait for an event, which is set after so many seconds at the latest.

    `asyncio.wait_for` would lose a cancellation that comes together with the event, before
    Python 3.12.
    """
    alarm = None if seconds is None else loop.call_later(seconds, event.set)
    try:
        await event.wait()
    finally:
        if alarm is not None:
            alarm.cancel()
