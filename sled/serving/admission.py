"""Which requests may speak at once, so that those that speak are never late.

A request is admitted if the predicted step, with its session included, leaves a margin to real
time. Otherwise it waits for its turn, first come, first served, and is refused after a while. One
request is always admitted. All methods run on the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sled.serving.errors import ApiError


class Admission:
    """Slots for sessions.

    Args:
        predict_load: Returns the predicted share of real time with so many sessions.
        max_load: The largest share at which a session is admitted.
        max_sessions: Most sessions at once.
        queue_s: How long a request waits for a slot.
        max_queued: Most requests that wait.

    Attributes:
        active: Sessions that speak.
        draining: Whether nobody is admitted any more.
    """

    def __init__(
        self,
        predict_load: Callable[[int], float],
        max_load: float,
        max_sessions: int,
        queue_s: float,
        max_queued: int,
    ) -> None:
        self._predict_load, self._max_load, self._max_sessions = (
            predict_load,
            max_load,
            max_sessions,
        )
        self._queue_s, self._max_queued = queue_s, max_queued
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.active = 0
        self.draining = False

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    def capacity(self) -> int:
        """How many sessions would be admitted at once by what is known now."""
        count = 1
        while count < self._max_sessions and self._fits(count + 1):
            count += 1
        return count

    def _fits(self, count: int) -> bool:
        if count > self._max_sessions:
            return False
        return count == 1 or self._predict_load(count) <= self._max_load

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """A slot for one session, for as long as the context lasts.

        Raises:
            ApiError: `at_capacity` if none becomes free in time, or too many wait; `draining`.
        """
        await self._acquire()
        try:
            yield
        finally:
            self.active -= 1
            self._admit_next()

    async def _acquire(self) -> None:
        if self.draining:
            raise ApiError("draining", "the server is shutting down: try another one", None, 1.0)
        if not self._waiting and self._fits(self.active + 1):
            self.active += 1
            return
        if self._queue_s == 0 or len(self._waiting) >= self._max_queued:
            raise self._refusal()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await asyncio.wait({turn}, timeout=self._queue_s)
        except asyncio.CancelledError:
            if turn.done():  # the slot came at the last moment
                self.active -= 1
                self._admit_next()
            else:
                self._waiting.remove(turn)
            raise
        if not turn.done():
            self._waiting.remove(turn)
            raise self._refusal()

    def _admit_next(self) -> None:
        while self._waiting and self._fits(self.active + 1):
            self.active += 1
            self._waiting.popleft().set_result(None)

    def _refusal(self) -> ApiError:
        return ApiError(
            "at_capacity",
            f"{self.active} callers are being spoken to, and one more would make them stutter: "
            "try again in a moment",
            retry_after_s=max(0.3, self._queue_s),
        )
