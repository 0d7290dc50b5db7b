"""Which requests may speak at once, so that those that speak are never late.

A request is admitted if the predicted time of a step, with its session included, is shorter by a
margin than the speech that the step makes. For many sessions the time is predicted from steps with
few, and the prediction may be wrong. So only some sessions may be *starting* at a time. A session
has started when its listener has a reserve of audio, which happens only if steps are fast enough.

Otherwise a request waits for its turn, and is refused after a while. An *owner* is a key of the
server. The next turn goes to the owner who has the fewest sessions; among equals, to the one whose
last turn was longest ago; of one owner's requests, to the first. If nobody speaks, a request is
always admitted. All methods run on the event loop.

Under a steady overload most requests would wait in vain, which delays their callers and takes
computing from those who are served. So no more may wait than are likely to get a turn in time, by
the number of turns there have been lately.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sled.serving.errors import ApiError

# With many sessions, this share of them may start at a time.
STARTING_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class _Turn:
    """A request that waits.

    Attributes:
        owner: Who makes it.
        come: Is done when it has a slot.
    """

    owner: str
    come: asyncio.Future[None]


class Admission:
    """Slots for sessions.

    Args:
        predict_load: Returns the predicted share of real time with so many sessions.
        max_load: The largest share at which a session is admitted.
        max_sessions: Most sessions at once.
        max_starting: How many sessions may start at a time, if not many speak.
        queue_s: How long a request waits for a slot.
        max_queued: Most requests that wait.

    Attributes:
        draining: Whether nobody is admitted any more.
    """

    def __init__(
        self,
        predict_load: Callable[[int], float],
        max_load: float,
        max_sessions: int,
        max_starting: int,
        queue_s: float,
        max_queued: int,
    ) -> None:
        self._predict_load, self._max_load = predict_load, max_load
        self._max_sessions, self._max_starting = max_sessions, max_starting
        self._queue_s, self._max_queued = queue_s, max_queued
        self._waiting: list[_Turn] = []
        self._full_since_s: float | None = None  # None: the last request did not have to wait
        self._turns_s: deque[float] = deque()  # when sessions were admitted in the last `queue_s`
        self._active_of: Counter[str] = Counter()  # by owner
        self._num_starting = 0
        self._last_turn: dict[str, int] = {}  # by owner; counted up
        self.draining = False

    @property
    def active(self) -> int:
        """Sessions that speak."""
        return self._active_of.total()

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

    def _has_room(self) -> bool:
        """Whether one more may start now."""
        started = self.active - self._num_starting
        most = max(self._max_starting, int(STARTING_SHARE * started))
        return self._num_starting < most and self._fits(self.active + 1)

    @asynccontextmanager
    async def slot(self, owner: str = "") -> AsyncIterator[Callable[[], None]]:
        """A slot for one session, for as long as the context lasts.

        Args:
            owner: Who wants to speak.

        Yields:
            A function to be called when the session has started: when its listener has a reserve of
            audio, or there is no hurry.

        Raises:
            ApiError: `at_capacity` if none becomes free in time, or too many wait; `draining`.
        """
        await self._acquire(owner)
        starting = True

        def note_started() -> None:
            nonlocal starting
            if starting:
                starting = False
                self._num_starting -= 1
                self._admit()

        try:
            yield note_started
        finally:
            self._release(owner, starting)
            starting = False

    def check_open(self, owner: str = "") -> None:
        """Check that a request would be admitted now, or may wait for its turn.

        Args:
            owner: Who wants to speak.

        Raises:
            ApiError: `draining`, or `at_capacity`.
        """
        if self.draining:
            raise ApiError("draining", "the server is shutting down: try another one", None, 1.0)
        if self._is_free:
            return
        if self._queue_s == 0 or (self._is_queue_full and self._displaced_by(owner) is None):
            raise self._refusal()

    @property
    def _is_free(self) -> bool:
        """Whether a request is admitted without waiting."""
        return not self._waiting and self._has_room()

    @property
    def _is_queue_full(self) -> bool:
        return len(self._waiting) >= self._most_waiting()

    def _most_waiting(self) -> int:
        """How many may wait: as many as may get a turn in time, as far as that is known."""
        now_s = time.monotonic()
        if self._full_since_s is None or now_s < self._full_since_s + self._queue_s:
            return self._max_queued
        self._forget_turns(now_s)
        return min(self._max_queued, 1 + len(self._turns_s))

    def _forget_turns(self, now_s: float) -> None:
        while self._turns_s and self._turns_s[0] <= now_s - self._queue_s:
            self._turns_s.popleft()

    async def _acquire(self, owner: str) -> None:
        self.check_open(owner)
        if self._is_free:
            self._full_since_s = None
            self._take(owner)
            return
        if self._full_since_s is None:
            self._full_since_s = time.monotonic()
        if self._is_queue_full and (last := self._displaced_by(owner)) is not None:
            self._waiting.remove(last)
            last.come.set_exception(self._refusal())
        turn = _Turn(owner, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        try:
            await asyncio.wait({turn.come}, timeout=self._queue_s)
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif turn.come.exception() is None:  # the slot came at the last moment
                self._release(owner, True)
            raise
        if not turn.come.done():
            self._waiting.remove(turn)
            raise self._refusal()
        turn.come.result()

    def _displaced_by(self, owner: str) -> _Turn | None:
        """Which request leaves a full queue for one of this owner. None: none does.

        It is the last one of whoever has most in the queue, if that is clearly more.
        """
        queued = Counter(turn.owner for turn in self._waiting)
        most = max(queued, key=lambda one: queued[one], default=owner)
        if queued[most] <= queued[owner] + 1:
            return None
        return next(turn for turn in reversed(self._waiting) if turn.owner == most)

    def _release(self, owner: str, starting: bool) -> None:
        self._num_starting -= starting
        self._active_of[owner] -= 1
        if not self._active_of[owner]:
            del self._active_of[owner]
        self._admit()

    def _admit(self) -> None:
        """Give slots to those who wait, as far as there is room."""
        while self._waiting and self._has_room():
            turn = min(self._waiting, key=self._precedence)
            self._waiting.remove(turn)
            self._take(turn.owner)
            turn.come.set_result(None)

    def _precedence(self, turn: _Turn) -> tuple[int, int]:
        return self._active_of[turn.owner], self._last_turn.get(turn.owner, 0)

    def _take(self, owner: str) -> None:
        self._active_of[owner] += 1
        self._num_starting += 1
        self._last_turn[owner] = max(self._last_turn.values(), default=0) + 1
        now_s = time.monotonic()
        self._forget_turns(now_s)
        self._turns_s.append(now_s)

    def _refusal(self) -> ApiError:
        return ApiError(
            "at_capacity",
            f"{self.active} callers are being spoken to, and one more would make them stutter: "
            "try again in a moment",
            retry_after_s=max(0.3, self._queue_s),
        )
