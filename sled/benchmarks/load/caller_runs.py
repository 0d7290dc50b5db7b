"""Runs of callers: each script alone, a fixed number of callers, callers who arrive at random."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import numpy as np

from sled.benchmarks.load.clients import Client
from sled.benchmarks.load.outcome import Alone, Ending, Outcome
from sled.benchmarks.load.scripts import Script, shares

# A caller who was refused tries again after this.
RETRY_S = 0.5
# Calls that have not ended so long after the last arrival have failed.
TAIL_S = 120.0
# Speech has not begun if nothing comes for this, or for so many times the usual.
PATIENCE_S, PATIENCE = 1.0, 5.0
# How often the client looks whether it is late itself.
TICK_S = 0.01


@dataclass
class Run:
    """What came of one run.

    Attributes:
        seconds: How long callers arrived.
        outcomes: The calls that began in this time.
        client_late_s: By how much the client's own clock was late, many times [N].
        client_load: Share of one core that the client used.
    """

    seconds: float
    outcomes: list[Outcome] = field(default_factory=list)
    client_late_s: list[float] = field(default_factory=list)
    client_load: float = 0.0


async def run_alone(client: Client, script: Script, rounds: int) -> Alone:
    """Call an idle server.

    Args:
        client: Calls.
        script: What to say.
        rounds: How often. Writers slower than speech call once.

    Raises:
        ValueError: If the server does not speak.
    """
    outcome = await _call_alone(client, script)
    enough_s = await _find_enough(client, script, outcome.first_audio_s)
    first_s = [outcome.first_audio_s - enough_s]
    written_s = script.pieces()[-1][0]
    alone = Alone(enough_s, (), outcome.stalled_s, outcome.audio_s, written_s)
    if not alone.limited_by_text:
        for _ in range(rounds - 1):
            again = await _call_alone(client, script)
            first_s.append(again.first_audio_s - enough_s)
    return replace(alone, first_audio_s=tuple(first_s))


async def _call_alone(client: Client, script: Script) -> Outcome:
    outcome = await client.call(script, 0.0, time.perf_counter())
    if outcome.ending is not Ending.SPOKEN:
        raise ValueError(f"{client.url} does not speak: {outcome.reason}")
    return outcome


async def _find_enough(client: Client, script: Script, first_audio_s: float) -> float:
    """When so many pieces are written that speech can begin; found by bisection."""
    pieces = script.pieces()
    written = sum(due_s <= first_audio_s for due_s, _ in pieces)
    too_few, enough = 0, written
    patience_s = max(PATIENCE_S, PATIENCE * (first_audio_s - pieces[written - 1][0]))
    while enough - too_few > 1:
        tried = (too_few + enough) // 2
        if await client.says_enough(script, tried, patience_s):
            enough = tried
        else:
            too_few = tried
    return pieces[enough - 1][0]


async def run_arrivals(client: Client, plan: Sequence[tuple[float, Script]], seconds: float) -> Run:
    """Callers arrive as planned, however many there are already; none tries again.

    Args:
        client: Calls.
        plan: When each arrives, in seconds, in order, and what he says.
        seconds: How long callers arrive.
    """
    run, start_s = Run(seconds), time.perf_counter()
    async with _watch_client(run):
        calls = []
        for due_s, script in plan:
            await asyncio.sleep(max(0.0, start_s + due_s - time.perf_counter()))
            calls.append(asyncio.ensure_future(client.call(script, due_s, start_s + due_s)))
        await asyncio.sleep(max(0.0, start_s + seconds - time.perf_counter()))
        run.outcomes = await _collect(calls)
    return run


async def run_callers(
    client: Client,
    scripts: Sequence[Script],
    callers: int,
    seconds: float,
    rng: np.random.Generator,
) -> Run:
    """A fixed number of callers, each of whom calls again as soon as he has heard all.

    Args:
        client: Calls.
        scripts: What callers do, by their shares.
        callers: Their number.
        seconds: How long calls begin.
        rng: Source of chance.
    """
    run, start_s = Run(seconds), time.perf_counter()

    async def call_again_and_again() -> None:
        while (due_s := time.perf_counter() - start_s) < seconds:
            script = scripts[rng.choice(len(scripts), p=shares(scripts))]
            outcome = await client.call(script, due_s, start_s + due_s)
            run.outcomes.append(outcome)
            if outcome.ending is not Ending.SPOKEN:
                await asyncio.sleep(RETRY_S)

    async with _watch_client(run):
        tasks = [asyncio.ensure_future(call_again_and_again()) for _ in range(callers)]
        await asyncio.wait(tasks, timeout=seconds + TAIL_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return run


async def _collect(calls: Sequence[asyncio.Task[Outcome]]) -> list[Outcome]:
    """The outcomes of calls; those that do not end are ended."""
    if calls:
        await asyncio.wait(calls, timeout=TAIL_S)
    for call in calls:
        call.cancel()
    return list(await asyncio.gather(*calls))


@asynccontextmanager
async def _watch_client(run: Run) -> AsyncIterator[None]:
    """Note how late the event loop of the client is, and how busy."""

    async def tick() -> None:
        while True:
            due_s = time.perf_counter() + TICK_S
            await asyncio.sleep(TICK_S)
            run.client_late_s.append(time.perf_counter() - due_s)

    ticking = asyncio.ensure_future(tick())
    begun_s, used_s = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking
        run.client_load = (time.process_time() - used_s) / (time.perf_counter() - begun_s)
