"""Many short sessions, half of them cancelled at a random point: does anything leak?

    python -m tests.serving.soak 10000

It takes minutes; test_soak.py is a small form of it. It prints memory, threads, descriptors and
objects of Python before and after, and how long slots stayed taken when their caller had left;
status 1 if something leaks.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time

import numpy as np
import psutil
import websockets

from sled.files.allocator import keep_one_arena, return_memory
from sled.serving.service import SpeechRequest
from tests.serving.conftest import Running, start, stop
from tests.serving.websocket.test_connection import CONFIG, DONE, Caller, text

AT_A_TIME = 32
# Every so many sessions go through a WebSocket, whose connection may be torn down.
SOCKET_EVERY = 20
MAX_GROWTH = 0.02
MAX_OBJECTS = 100  # far fewer than one for each session
# Sessions before anything is measured: memory that the allocator keeps for reuse.
WARM_UP = 1000
WORDS = ("four ", "two ", "seven ", "one ")


async def by_service(running: Running, number: int, chance: random.Random) -> None:
    """A session without a connection."""
    cancelled, request = number % 2 == 0, SpeechRequest(seed=number)

    async def speak() -> None:
        async with running.server.open("soak", request) as utterance:
            for _ in range(chance.randint(1, 3)):
                utterance.feed(chance.choice(WORDS))
            utterance.flush()
            async for _ in utterance.audio():
                pass

    task = asyncio.ensure_future(speak())
    if cancelled:
        await asyncio.wait({task}, timeout=chance.random() * 0.5)
        task.cancel()
    await asyncio.gather(task, return_exceptions=cancelled)


async def by_socket(running: Running, number: int, chance: random.Random) -> None:
    """A session through a WebSocket; every other client vanishes."""
    async with websockets.connect(running.socket_url, max_size=None, open_timeout=600) as socket:
        caller = Caller(socket)
        await caller.send(CONFIG, text(chance.choice(WORDS)), DONE)
        if number // SOCKET_EVERY % 2:
            await caller.utterance()
        else:
            await asyncio.sleep(chance.random() * 0.3)
            socket.transport.abort()


def act(running: Running, numbers: range) -> None:
    """Open the sessions of these numbers on the loop of the server, and wait until all is over."""
    loop = running.listener.servers[0].get_loop()
    asyncio.run_coroutine_threadsafe(_act(running, numbers), loop).result()
    running.wait_until(lambda: not running.server.active)
    time.sleep(2)  # threads of the engine end


async def _act(running: Running, numbers: range) -> None:
    """All sessions, some at a time."""
    chance, left = random.Random(numbers.start), iter(numbers)

    async def work() -> None:
        for number in left:
            way = by_socket if number % SOCKET_EVERY == 0 else by_service
            await way(running, number, chance)

    await asyncio.gather(*(work() for _ in range(AT_A_TIME)))


async def time_to_free(running: Running, count: int) -> list[float]:
    """How long slots stay taken when their client has hung up, in seconds."""
    times = []
    for _ in range(count):
        async with websockets.connect(running.socket_url, max_size=None) as socket:
            caller = Caller(socket)
            await caller.send(CONFIG, text("four two seven one " * 50))
            await caller.take()
            begun_s = time.perf_counter()
            socket.transport.abort()
            while running.server.active:
                await asyncio.sleep(0.0005)
            times.append(time.perf_counter() - begun_s)
    return times


def measure() -> tuple[float, int, int, int]:
    """Memory in MB, threads, descriptors and objects of Python."""
    gc.collect()
    return_memory()  # as the server does when nobody speaks
    process = psutil.Process()
    counts = process.num_threads(), process.num_fds(), len(gc.get_objects())
    return process.memory_info().rss / 1e6, *counts


def main(count: int) -> int:
    """Run, and report."""
    keep_one_arena()  # as `sled serve` does
    running = start()
    act(running, range(-WARM_UP, 0))
    before = measure()
    begun_s = time.perf_counter()
    act(running, range(count))
    seconds = time.perf_counter() - begun_s
    after = measure()
    freed = asyncio.run(time_to_free(running, 50))
    stop(running)
    names = ("MB", "threads", "descriptors", "objects")
    for name, one, other in zip(names, before, after, strict=True):
        print(f"{name}: {one:.1f} before, {other:.1f} after {count} sessions")
    print(f"{seconds:.0f} s; slots free after p50 {1000 * np.median(freed):.1f} ms, ", end="")
    print(f"p99 {1000 * np.quantile(freed, 0.99):.1f} ms")
    return int(leaks(before, after) or after[0] > before[0] * (1 + MAX_GROWTH))


def leaks(before: tuple[float, int, int, int], after: tuple[float, int, int, int]) -> bool:
    """Whether there are more threads, descriptors or objects than before."""
    return after[1] > before[1] or after[2] > before[2] or after[3] > before[3] + MAX_OBJECTS


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
