"""The audio of a session that waits to be taken, by threads or by asyncio tasks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType

import numpy as np
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Chunk:
    """A piece of speech.

    Attributes:
        audio: [S] float32 samples.
        units: [T, ...] units that went into the codec for it. A streaming codec may return fewer
            samples at once, see `StreamingDecoder.lookahead_frames`.
        is_pause: Whether it is a silence that the text asks for; it has no units.
        ready_at_s: When it could first be taken, by `time.perf_counter`.
    """

    audio: np.ndarray
    units: Tensor
    is_pause: bool = False
    ready_at_s: float = field(default_factory=time.perf_counter)


class AudioQueue:
    """A queue of chunks with an end. The end of the queue is the end of its session.

    All methods can be called from any thread.

    Attributes:
        num_taken: Number of samples that have been taken.
    """

    def __init__(self) -> None:
        self.num_taken = 0
        self._chunks: deque[Chunk] = deque()
        self._num_samples = 0
        self._held_until_s = 0.0
        self._released = self._closed = False
        self._error: BaseException | None = None
        self._trace: TracebackType | None = None  # of the error
        self._below: tuple[int, Callable[[], None]] | None = None
        self._on_take: Callable[[int, float], None] | None = None
        self._condition = threading.Condition()
        self._tasks: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def closed(self) -> bool:
        """Whether no more chunks will come, for whatever reason."""
        return self._closed

    @property
    def complete(self) -> bool:
        """Whether no more chunks will come, because all has been said."""
        return self._closed and self._error is None

    @property
    def error(self) -> BaseException | None:
        """The error that ended the session, if any."""
        return self._error

    @property
    def num_samples(self) -> int:
        """Number of samples that wait."""
        return self._num_samples

    @property
    def num_put(self) -> int:
        """Number of samples that wait or have been taken."""
        with self._condition:
            return self.num_taken + self._num_samples

    def waiting(self) -> list[Chunk]:
        """A copy of the chunks that wait."""
        with self._condition:
            return list(self._chunks)

    def put(self, chunk: Chunk) -> None:
        """Add a chunk; after the end it is dropped."""
        with self._condition:
            if not self._closed:
                self._chunks.append(chunk)
                self._num_samples += len(chunk.audio)
            self._wake()

    def hold(self, seconds: float) -> None:
        """Withhold chunks for this many seconds, unless `release` was or is called."""
        with self._condition:
            if not self._released:
                self._held_until_s = time.perf_counter() + seconds

    def release(self) -> None:
        """End `hold` permanently."""
        with self._condition:
            self._released = True
            self._held_until_s = min(self._held_until_s, time.perf_counter())
            self._wake()

    def end(self, error: BaseException | None = None, *, drop: bool = False) -> None:
        """Close the queue.

        Args:
            error: The error that ended the session, if any. `take` raises it.
            drop: Also drop the chunks that wait.
        """
        with self._condition:
            if not self._closed:
                self._closed, self._error = True, error
                self._trace = None if error is None else error.__traceback__
            if drop:
                self._chunks.clear()
                self._num_samples = 0
            self.release()

    def call_on_take(self, call: Callable[[int, float], None]) -> None:
        """Call a function with the samples of each chunk that is taken, and the time.

        It must not take long: nobody else can use the queue meanwhile.
        """
        self._on_take = call

    def call_below(self, num_samples: int, call: Callable[[], None]) -> None:
        """Call a function once, as soon as at most this many samples wait."""
        with self._condition:
            self._below = (num_samples, call)
        self._check_below()

    def _check_below(self) -> None:
        with self._condition:
            if self._below is None or self._num_samples > self._below[0]:
                return
            _, call = self._below
            self._below = None
        call()

    def take(self) -> Chunk | None:
        """The next chunk, as soon as there is one; None at the end."""
        with self._condition:
            while not self._is_ready():
                self._condition.wait(self._wait_s())
            chunk = self._pop()
        self._check_below()
        return chunk

    async def take_async(self) -> Chunk | None:
        """`take` for asyncio: other tasks run while this one waits."""
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
        finally:  # also if the task is cancelled
            with self._condition:
                self._tasks.discard(arrived)
        self._check_below()
        return chunk

    def _is_ready(self) -> bool:
        return self._closed or bool(self._chunks and self._held_s() <= 0)

    def _held_s(self) -> float:
        return self._held_until_s - time.perf_counter()

    def _wait_s(self) -> float | None:
        """Time until a chunk that is held can be taken. None: there is no chunk."""
        return max(self._held_s(), 0.0) if self._chunks else None

    def _pop(self) -> Chunk | None:
        if self._chunks:
            chunk = self._chunks.popleft()
            self._num_samples -= len(chunk.audio)
            self.num_taken += len(chunk.audio)
            if self._on_take is not None:
                self._on_take(len(chunk.audio), time.perf_counter())
            return replace(chunk, ready_at_s=max(chunk.ready_at_s, self._held_until_s))
        if self._error is not None:
            # Without what was added when it was raised before, maybe by many sessions.
            raise self._error.with_traceback(self._trace)
        return None

    def _wake(self) -> None:
        self._condition.notify_all()
        for loop, event in self._tasks:
            with suppress(RuntimeError):  # the loop is closed, and its tasks with it
                loop.call_soon_threadsafe(event.set)


async def _wait(
    loop: asyncio.AbstractEventLoop, event: asyncio.Event, seconds: float | None
) -> None:
    """Wait for an event, and set it after this many seconds at the latest.

    Before Python 3.12, `asyncio.wait_for` can lose a cancellation that comes with the event.
    """
    alarm = None if seconds is None else loop.call_later(seconds, event.set)
    try:
        await event.wait()
    finally:
        if alarm is not None:
            alarm.cancel()
