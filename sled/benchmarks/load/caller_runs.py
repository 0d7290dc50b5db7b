"""Runs of callers: each script alone, a fixed number of callers, callers who arrive at random."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import numpy as np

from sled.benchmarks.load.clients import Client
from sled.benchmarks.load.outcome import Alone, Ending, Outcome
from sled.benchmarks.load.scripts import Script, shares

# A caller who was refused tries again after this.
RETRY_S = 0.5
# How long callers call before there are twice as many.
STAGE_S = 2.5
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


async def run_alone(client: Client, scripts: Sequence[Script], rounds: int) -> dict[Script, Alone]:
    """Call an idle server, with each script.

    Args:
        client: Calls.
        scripts: What to say. Writers who are slower than the voice call at the same time, at the
            end: they hardly keep the server busy.
        rounds: How often each of the others calls.

    Raises:
        ValueError: If the server does not speak.
    """
    found: dict[Script, Alone] = {}
    enough: dict[str, int] = {}
    slow: list[Script] = []
    for script in sorted(scripts, key=lambda one: -one.writer.pieces_per_s):
        spoken_s = [alone.audio_s for other, alone in found.items() if other.text == script.text]
        if spoken_s and script.pieces()[-1][0] > max(spoken_s):
            slow.append(script)
            continue
        outcomes = [await _call_alone(client, script) for _ in range(rounds)]
        found[script] = await _summarize_alone(client, script, outcomes, enough)
    now_s = time.perf_counter()
    together = await asyncio.gather(*(client.call(Outcome(one, 0.0), now_s) for one in slow))
    for script, outcome in zip(slow, together, strict=True):
        _check_spoken(client, outcome)
        found[script] = await _summarize_alone(client, script, [outcome], enough)
    return found


async def _call_alone(client: Client, script: Script) -> Outcome:
    outcome = await client.call(Outcome(script, 0.0), time.perf_counter())
    _check_spoken(client, outcome)
    return outcome


def _check_spoken(client: Client, outcome: Outcome) -> None:
    if outcome.ending is Ending.REFUSED:
        raise ValueError(
            f"{client.url} refuses one of a few callers, as busy as this machine is now: "
            f"{outcome.reason}"
        )
    if outcome.ending is not Ending.SPOKEN:
        raise ValueError(f"{client.url} does not speak: {outcome.reason}")


async def _summarize_alone(
    client: Client, script: Script, outcomes: Sequence[Outcome], enough: dict[str, int]
) -> Alone:
    """How a script goes alone.

    Args:
        client: Calls.
        script: The script.
        outcomes: Its calls.
        enough: How many pieces of each text are enough to begin; filled in.
    """
    pieces, first = script.pieces(), outcomes[0]
    if len(pieces) > 1 and script.text not in enough:
        enough[script.text] = await _find_enough(client, script, first.first_audio_s)
    enough_s = pieces[enough[script.text] - 1][0] if len(pieces) > 1 else 0.0
    first_audio_s = tuple(outcome.first_audio_s - enough_s for outcome in outcomes)
    return Alone(enough_s, first_audio_s, first.stalled_s, first.audio_s, pieces[-1][0])


async def _find_enough(client: Client, script: Script, first_audio_s: float) -> int:
    """How many pieces must be written so that speech can begin; found by bisection."""
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
    return enough


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
            call = client.call(Outcome(script, due_s), start_s + due_s)
            calls.append(asyncio.ensure_future(call))
        await asyncio.sleep(max(0.0, start_s + seconds - time.perf_counter()))
        run.outcomes = await _collect(calls)
    return run


async def run_growing(
    client: Client,
    scripts: Sequence[Script],
    goes_on: Callable[[int, Sequence[Outcome], float, float], bool],
    rng: np.random.Generator,
) -> None:
    """More and more callers, each of whom calls again as soon as he has heard all.

    Args:
        client: Calls.
        scripts: What callers do, by their shares.
        goes_on: Is asked at the end of each stage whether twice as many callers should call, with
            their number, all calls so far, and when the stage began and ended in seconds of the
            run.
        rng: Source of chance.
    """
    start_s = time.perf_counter()
    outcomes: list[Outcome] = []
    calling = True

    async def call_again_and_again() -> None:
        while calling:  # `Client.call` takes a cancellation for the end of the call
            script = scripts[rng.choice(len(scripts), p=shares(scripts))]
            now_s = time.perf_counter()
            outcomes.append(Outcome(script, now_s - start_s))
            outcome = await client.call(outcomes[-1], now_s)
            if outcome.ending is not Ending.SPOKEN:
                await asyncio.sleep(RETRY_S)

    tasks: list[asyncio.Task[None]] = []
    number, begun_s = 1, 0.0
    try:
        while True:
            tasks += [
                asyncio.ensure_future(call_again_and_again()) for _ in range(number - len(tasks))
            ]
            await asyncio.sleep(STAGE_S)
            ended_s = time.perf_counter() - start_s
            if not goes_on(number, outcomes, begun_s, ended_s):
                return
            number, begun_s = 2 * number, ended_s
    finally:
        calling = False
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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
