"""Where a session's audio waits to be taken, by threads or by tasks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Chunk:
    """A piece of speech.

    Attributes:
        audio: [S] float32.
        latents: [T, D] frames that went into the codec for it. What comes out at once can be less
            than they make, see `StreamingDecoder.lookahead_frames`.
        made_at_s: When it was made, by `time.perf_counter`.
    """

    audio: np.ndarray
    latents: Tensor
    made_at_s: float = field(default_factory=time.perf_counter)


class Sink:
    """A queue of chunks with an end.

    Args:
        on_taken: Called, by whoever takes, with the number of samples that are left.
    """

    def __init__(self, on_taken: Callable[[int], None]) -> None:
        self._on_taken = on_taken
        self._chunks: deque[Chunk] = deque()
        self._num_samples = 0
        self._ended = False
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
            self._wake()

    def take(self) -> Chunk | None:
        """The next chunk, as soon as there is one; None at the end."""
        with self._condition:
            self._condition.wait_for(lambda: self._chunks or self._ended)
            chunk = self._pop()
        return self._taken(chunk)

    async def take_async(self) -> Chunk | None:
        """`take` for a task: other tasks go on while this one waits."""
        arrived = (asyncio.get_running_loop(), asyncio.Event())
        try:
            while True:
                with self._condition:
                    if self._chunks or self._ended:
                        chunk = self._pop()
                        break
                    arrived[1].clear()
                    self._tasks.add(arrived)
                await arrived[1].wait()
        finally:  # also if the task has been cancelled
            with self._condition:
                self._tasks.discard(arrived)
        return self._taken(chunk)

    def _pop(self) -> Chunk | None:
        if self._chunks:
            self._num_samples -= len(self._chunks[0].audio)
            return self._chunks.popleft()
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
