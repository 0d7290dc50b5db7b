"""Who may speak, who waits, and who is refused."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from sled.serving import admission as module
from sled.serving.admission import Admission
from sled.serving.errors import ApiError


def admission(**changes: object) -> Admission:
    """Each session takes a quarter of real time; three fit."""
    settings: dict[str, object] = {
        "predict_load": lambda count: 0.25 * count,
        "max_load": 0.8,
        "max_sessions": 10,
        "max_starting": 10,
        "queue_s": 0.0,
        "max_queued": 5,
    }
    return Admission(**(settings | changes))


async def hold(stack: AsyncExitStack, slots: Admission, count: int = 1) -> None:
    for _ in range(count):
        await stack.enter_async_context(slots.slot())


async def until(slots: Admission, queued: int) -> None:
    while slots.queued != queued:
        await asyncio.sleep(0)


def test_as_many_as_keep_real_time() -> None:
    async def run() -> None:
        slots = admission()
        assert slots.capacity() == 3
        async with AsyncExitStack() as stack:
            await hold(stack, slots, 3)
            with pytest.raises(ApiError) as refusal:
                await hold(stack, slots)
            assert (refusal.value.status, refusal.value.code) == (429, "at_capacity")
            assert "retry-after-ms" in refusal.value.headers()
        assert slots.active == 0

    asyncio.run(run())


def test_others_start_when_those_before_have_a_reserve() -> None:
    async def run() -> None:
        slots = admission(max_starting=2, predict_load=lambda count: 0.01, queue_s=60.0)
        async with AsyncExitStack() as stack:
            note_started = await stack.enter_async_context(slots.slot())
            leaver = await stack.enter_async_context(AsyncExitStack())
            await hold(leaver, slots)
            waiting = [asyncio.ensure_future(hold(stack, slots)) for _ in range(3)]
            await until(slots, 3)
            note_started()
            note_started()  # once is enough
            await waiting[0]
            assert slots.queued == 2
            await leaver.aclose()
            await waiting[1]
            assert (slots.active, slots.queued) == (3, 1)
            waiting[2].cancel()
            await asyncio.gather(waiting[2], return_exceptions=True)
        assert (slots.active, slots.queued) == (0, 0)
        async with AsyncExitStack() as stack:
            await hold(stack, slots, 2)  # all that left count no more
            assert (slots.active, slots.queued) == (2, 0)

    asyncio.run(run())


def test_when_many_speak_a_share_of_them_may_start() -> None:
    async def run() -> None:
        slots = admission(max_starting=1, predict_load=lambda count: 0.01, max_sessions=100)
        async with AsyncExitStack() as stack:
            for _ in range(8):
                (await stack.enter_async_context(slots.slot()))()
            await hold(stack, slots, 2)
            with pytest.raises(ApiError):
                await hold(stack, slots)

    asyncio.run(run())


def test_who_could_not_even_wait_is_refused_before_he_asks() -> None:
    async def run() -> None:
        slots = admission(queue_s=60.0, max_queued=2)
        async with AsyncExitStack() as stack:
            await hold(stack, slots, 3)
            waiting = []
            for queued in (1, 2):
                slots.check_open()
                waiting.append(asyncio.ensure_future(hold(stack, slots)))
                await until(slots, queued)
            with pytest.raises(ApiError) as refusal:
                slots.check_open()
            assert refusal.value.code == "at_capacity"
            slots.check_open("another owner")  # of whom nobody waits
            assert slots.queued == 2
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        slots.check_open()

    asyncio.run(run())


def test_a_slow_machine_still_serves_one() -> None:
    async def run() -> None:
        slots = admission(predict_load=lambda count: 5.0 * count)
        async with slots.slot():
            assert slots.active == 1

    asyncio.run(run())


def test_who_waits_gets_the_next_free_slot_in_order() -> None:
    async def run() -> None:
        slots, order = admission(queue_s=60.0), []

        async def speak(name: int) -> None:
            async with slots.slot():
                order.append(name)

        async with AsyncExitStack() as stack:
            await hold(stack, slots, 3)
            waiting = []
            for name in range(3):
                waiting.append(asyncio.ensure_future(speak(name)))
                await until(slots, name + 1)
        await asyncio.gather(*waiting)
        assert order == [0, 1, 2]
        assert (slots.active, slots.queued) == (0, 0)

    asyncio.run(run())


def test_turns_are_shared_among_owners() -> None:
    """Who has many requests makes another owner wait for one of them, not for all."""

    async def run() -> None:
        slots, order = admission(queue_s=60.0, max_sessions=1), []

        async def speak(owner: str) -> None:
            async with slots.slot(owner):
                order.append(owner)

        async with slots.slot("busy"):
            waiting = []
            for number, owner in enumerate(("busy", "busy", "busy", "rare", "other")):
                waiting.append(asyncio.ensure_future(speak(owner)))
                await until(slots, number + 1)
        await asyncio.gather(*waiting)
        assert order == ["rare", "other", "busy", "busy", "busy"]

    asyncio.run(run())


def test_one_owner_cannot_fill_the_queue() -> None:
    async def run() -> None:
        slots = admission(queue_s=60.0, max_sessions=1, max_queued=3)

        async def speak(owner: str) -> str:
            async with slots.slot(owner):
                return owner

        async with slots.slot("busy"):
            waiting = [asyncio.ensure_future(speak("busy")) for _ in range(3)]
            await until(slots, 3)
            waiting.append(asyncio.ensure_future(speak("rare")))
            with pytest.raises(ApiError):  # the last one of the busy owner
                await waiting[2]
            with pytest.raises(ApiError):  # now the queue is shared fairly
                await speak("busy")
        assert await asyncio.gather(waiting[0], waiting[1], waiting[3]) == ["busy", "busy", "rare"]
        assert (slots.active, slots.queued) == (0, 0)

    asyncio.run(run())


def test_who_leaves_while_waiting_takes_no_slot() -> None:
    async def run() -> None:
        slots = admission(queue_s=60.0)
        async with AsyncExitStack() as stack:
            await hold(stack, slots, 3)
            leaver = asyncio.ensure_future(hold(stack, slots))
            await until(slots, 1)
            leaver.cancel()
            await asyncio.gather(leaver, return_exceptions=True)
            assert (slots.active, slots.queued) == (3, 0)

    asyncio.run(run())


def test_who_leaves_with_the_slot_in_hand_gives_it_back() -> None:
    async def run() -> None:
        slots = admission(queue_s=60.0)
        async with AsyncExitStack() as other:
            stack = await other.enter_async_context(AsyncExitStack())
            await hold(stack, slots, 3)
            leaver = asyncio.ensure_future(hold(other, slots))
            await until(slots, 1)
            await stack.aclose()  # the slot is given, but the waiter has not run yet
            leaver.cancel()
            await asyncio.gather(leaver, return_exceptions=True)
        assert (slots.active, slots.queued) == (0, 0)

    asyncio.run(run())


def test_waiting_ends_with_a_refusal() -> None:
    async def run() -> None:
        slots = admission(queue_s=0.01, max_queued=1)
        async with AsyncExitStack() as stack:
            await hold(stack, slots, 3)
            first = asyncio.ensure_future(hold(stack, slots))
            await until(slots, 1)
            with pytest.raises(ApiError):  # at once: the queue is full
                await hold(stack, slots)
            with pytest.raises(ApiError):
                await first
            assert (slots.active, slots.queued) == (3, 0)

    asyncio.run(run())


class Clock:
    """Time that a test moves on."""

    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


def test_when_it_is_full_no_more_wait_than_got_a_turn_lately(monkeypatch) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)

    async def run() -> None:
        slots = admission(queue_s=60.0, max_queued=8, max_sessions=3)
        speaking: list[AsyncExitStack] = []
        waiting: list[asyncio.Task[None]] = []

        async def wait(count: int) -> None:
            for _ in range(count):
                stack = AsyncExitStack()
                waiting.append(asyncio.ensure_future(hold(stack, slots)))
                speaking.append(stack)
                await until(slots, slots.queued + 1)

        async def give_turns(count: int) -> None:
            for _ in range(count):
                await speaking.pop(0).aclose()
                await waiting.pop(0)

        for _ in range(3):
            speaking.append(AsyncExitStack())
            await hold(speaking[-1], slots)
        clock.now_s += 1000.0  # long ago: nothing is known of the turns to come
        await wait(8)
        with pytest.raises(ApiError):
            slots.check_open()
        clock.now_s += 30.0
        await give_turns(4)
        slots.check_open()  # it has not been full for as long as a request waits
        clock.now_s += 30.0
        assert slots.queued == 4  # as many as had a turn in the last minute
        slots.check_open()
        await wait(1)
        with pytest.raises(ApiError) as refusal:
            slots.check_open()
        assert refusal.value.code == "at_capacity"
        clock.now_s += 30.0  # no turn in the last minute
        await give_turns(1)
        with pytest.raises(ApiError):
            slots.check_open()
        await give_turns(4)
        slots.check_open()  # there is nobody before him
        await speaking[0].aclose()
        await hold(speaking[0], slots)  # there was room: nothing is known again
        await wait(8)
        await give_turns(8)
        for stack in speaking:
            await stack.aclose()

    asyncio.run(run())


def test_nobody_new_while_draining() -> None:
    async def run() -> None:
        slots = admission()
        slots.draining = True
        with pytest.raises(ApiError) as refusal:
            await hold(AsyncExitStack(), slots)
        assert (refusal.value.status, refusal.value.code) == (503, "draining")

    asyncio.run(run())
