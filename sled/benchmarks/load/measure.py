"""Measures a server under load, and writes the report."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np

from sled.benchmarks.flags import check_at_least, check_folder
from sled.benchmarks.load.caller_runs import Run, run_alone, run_arrivals, run_growing
from sled.benchmarks.load.clients import CLIENTS, Client
from sled.benchmarks.load.figures import Standards, cumulative, goodput, percentiles, summarize
from sled.benchmarks.load.outcome import Outcome
from sled.benchmarks.load.own_server import own_server, pocket_server
from sled.benchmarks.load.scripts import (
    DIGITS,
    ENGLISH,
    WHOLE_TEXT,
    WRITERS,
    Script,
    arrivals,
    make_scripts,
    shares,
)
from sled.benchmarks.peers.in_turns import check_peer
from sled.benchmarks.picture import distributions
from sled.benchmarks.report import Report, describe_machine, table

logger = logging.getLogger(__name__)
T = TypeVar("T")

# The capacity is found when twice as many callers add less than this.
GROWTH = 1.1
MAX_CALLERS = 256
# How often each script is called on the idle server.
IDLE_CALLS = 4
# After callers have left at once, before others come.
PAUSE_S = 1.0
# From here on the client's own delay is a part of what it measures.
CLIENT_LATE_MS, CLIENT_BUSY = 20.0, 0.8


def measure(args: argparse.Namespace) -> Report:
    """Load the server of `--url`, or one that is started for it.

    Raises:
        ValueError: For flags that cannot be used, and if the server does not speak.
    """
    check_at_least(args, 1, "rounds", "seconds")
    if not all(rate > 0 for rate in args.rates):
        raise ValueError(f"--rates {args.rates}: give multiples above 0")
    if args.capacity is not None and not args.capacity > 0:
        raise ValueError(f"--capacity {args.capacity}: give callers per second, above 0")
    if args.peer is not None:
        if args.url is not None:
            raise ValueError(f"--peer {args.peer}: it is started, so leave --url out")
        check_peer(args.peer, args.peer_python)
        args.api = "pocket"
    elif args.url is None and args.api != "sled":
        raise ValueError(f"--api {args.api}: give the --url of the server")
    if args.picture is not None:
        check_folder(args.picture)
    with ExitStack() as stack:
        url = args.url
        if args.peer is not None:
            url = stack.enter_context(pocket_server(args.peer_python))
        elif url is None:
            url = stack.enter_context(own_server(args.model))
        figures = _run(_measure(args, url))
    figures["server"] = args.peer or args.url or "own"
    if args.picture is not None:
        args.picture.write_text(_draw(figures), encoding="utf-8")
    settings = {key: str(value) for key, value in vars(args).items()}
    return Report("load", describe_machine(), settings, figures, _text(figures, args))


def _run(work: Awaitable[T]) -> T:
    """Run on the fastest event loop that is installed."""

    async def main() -> T:
        return await work

    try:
        import uvloop
    except ImportError:
        return asyncio.run(main())
    return uvloop.run(main())


async def _measure(args: argparse.Namespace, url: str) -> dict[str, Any]:
    client = CLIENTS[args.api](url, args.key, args.voice)
    try:
        scripts = make_scripts(
            await _texts(args, url), WRITERS if args.api == "sled" else WHOLE_TEXT
        )
        standards = await run_alone(client, scripts, IDLE_CALLS)
        logger.info("%d kinds of callers have called the idle server", len(scripts))
        rng = np.random.default_rng(args.seed)
        capacity, steps = await _capacity(client, args, scripts, standards, rng)
        runs: dict[float, list[Run]] = {rate: [] for rate in args.rates}
        for number in range(args.rounds):
            for rate, own in runs.items():
                logger.info(
                    "round %d of %d: %g times the capacity for %g s",
                    number + 1,
                    args.rounds,
                    rate,
                    args.seconds,
                )
                plan = arrivals(scripts, rate * capacity, args.seconds, rng)
                own.append(await run_arrivals(client, plan, args.seconds))
    finally:
        await client.aclose()
    queue_s = _queue_s() if args.url is None and args.peer is None else None
    idle = [
        seconds
        for alone in standards.values()
        if not alone.limited_by_text
        for seconds in alone.first_audio_s
    ]
    return {
        "capacity_callers_per_s": capacity,
        "capacity_steps": steps,
        "idle_first_audio_ms": percentiles(idle),
        "rates": {
            f"{rate:g}": {
                "callers_per_s": rate * capacity,
                **summarize(own, standards, queue_s),
            }
            for rate, own in runs.items()
        },
    }


async def _texts(args: argparse.Namespace, url: str) -> tuple[str, ...]:
    """What callers say: lines of a file, or sentences; for the model of digits, digits."""
    if args.texts is not None:
        lines = Path(args.texts).read_text(encoding="utf-8").splitlines()
        texts = tuple(line.strip() for line in lines if line.strip())
        if not texts:
            raise ValueError(f"--texts {args.texts}: the file is empty: write a text per line")
        return texts
    if args.api != "sled":
        return ENGLISH
    try:
        async with httpx.AsyncClient() as http:
            models = (await http.get(f"{url.rstrip('/')}/v1/models")).json()["data"]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise ValueError(f"{url}: no server answers there: {error}") from error
    return DIGITS if models[0]["id"] == "digits" else ENGLISH


async def _capacity(
    client: Client,
    args: argparse.Namespace,
    scripts: list[Script],
    standards: Standards,
    rng: np.random.Generator,
) -> tuple[float, list[dict[str, float]]]:
    """The callers per second that the server can serve, and how that was found.

    Callers of whole texts call again and again, and their number doubles until more of them hear no
    more audio in time. Other writers would take as much of the server, and longer to measure.
    """
    if args.capacity is not None:
        return args.capacity, []
    fastest = max(script.writer.pieces_per_s for script in scripts)
    whole = [script for script in scripts if script.writer.pieces_per_s == fastest]
    mean_s = float(shares(scripts) @ [standards[script].audio_s for script in scripts])
    best, steps = 0.0, []

    def goes_on(callers: int, outcomes: Sequence[Outcome], start_s: float, end_s: float) -> bool:
        nonlocal best
        heard = goodput(outcomes, standards, start_s, end_s)
        logger.info("%d callers hear %.2f s of audio per second in time", callers, heard)
        steps.append({"callers": callers, "callers_per_s": heard / mean_s})
        grown = heard > GROWTH * best
        best = max(best, heard)
        return grown and callers < MAX_CALLERS

    await run_growing(client, whole, goes_on, rng)
    await asyncio.sleep(PAUSE_S)
    if not best:
        raise ValueError(
            f"{client.url} serves not even one caller without underruns, as this machine is now: "
            "give --capacity"
        )
    return best / mean_s, steps


def _queue_s() -> float:
    """How long a server of our own lets callers wait."""
    from sled.serving.settings import load_settings

    return load_settings().queue_s


# Reports.


def _text(figures: dict[str, Any], args: argparse.Namespace) -> str:
    rates, idle = figures["rates"], figures["idle_first_audio_ms"]
    lines = [
        f"API {args.api}; {args.rounds} rounds of {args.seconds:g} s; median (quartiles) of the "
        "rounds, percentiles of all calls",
        f"idle server: first audio after {idle['p50']:.0f} ms (p99 {idle['p99']:.0f} ms); "
        f"capacity: {figures['capacity_callers_per_s']:.2f} callers per second",
        "",
        table(_rows(rates, idle["p50"])),
        "",
        "First audio is counted from when the text so far is enough to begin. A player starts with "
        "the first audio.",
        *_client_lines(rates),
    ]
    reasons = {reason for one in rates.values() for reason, _ in one["reasons"]}
    return "\n".join([*lines, *(f"failed: {reason}" for reason in sorted(reasons))])


def _rows(rates: dict[str, dict[str, Any]], idle_ms: float) -> list[list[str]]:
    """The table of the report; a row without any figure is left out."""
    base = rates.get("1", {}).get("goodput")

    def multiple(one: dict[str, Any]) -> str:
        return f"{one['first_audio_ms']['p99'] / idle_ms:.1f}" if one["spoken"] else ""

    def relative(one: dict[str, Any]) -> str:
        return f"{one['goodput'].over(base):.2f}" if base is not None and base.median else ""

    cells: dict[str, Callable[[dict[str, Any]], str]] = {
        "callers per second": lambda one: f"{one['callers_per_s']:.2f}",
        "callers": lambda one: f"{one['callers']}",
        "  refused": lambda one: f"{one['refused']}",
        "  failed": lambda one: f"{one['failed']}",
        "first audio, ms: median": lambda one: _format(one["first_audio_median_ms"], ".0f"),
        "  first audio, ms: p90": lambda one: _cell(one["first_audio_ms"], "p90"),
        "  first audio, ms: p99": lambda one: _cell(one["first_audio_ms"], "p99"),
        "  p99 as a multiple of the idle median": multiple,
        "underruns, calls": lambda one: f"{one['underruns']} of {one['judged']}",
        "  the player waits, ms: longest": lambda one: _cell(one["underrun_ms"], "p100"),
        "  a start later by this prevents it, ms: p99": lambda one: _cell(one["buffer_ms"], "p99"),
        "typists are heard later than alone, ms: p99": lambda one: _cell(
            one["typist_behind_ms"], "p99"
        ),
        "refusals are answered after, ms: median": lambda one: _cell(one["refusal_ms"], "p50"),
        "  refusals, ms: p99": lambda one: _cell(one["refusal_ms"], "p99"),
        "  p99 without the time in the queue": lambda one: _cell(
            one.get("refusal_beyond_queue_ms"), "p99"
        ),
        "audio in time, s per s": lambda one: _format(one["goodput"], ".2f"),
        "  relative to rate 1": relative,
        "the client computes, share of a core": lambda one: f"{one['client_load']:.2f}",
    }
    rows = [["callers arrive at ... times the capacity", *rates]]
    for label, cell in cells.items():
        row = [cell(one) for one in rates.values()]
        if any(row):
            rows.append([label, *row])
    return rows


def _client_lines(rates: dict[str, dict[str, Any]]) -> list[str]:
    """How busy and how late the client was."""
    late = max((one["client_late_ms"] or {"p99": 0.0})["p99"] for one in rates.values())
    busy = max(one["client_load"] for one in rates.values())
    lines = [f"The client used at most {busy:.0%} of a core and was late by {late:.1f} ms (p99)."]
    if late > CLIENT_LATE_MS or busy > CLIENT_BUSY:
        lines.append(
            "That is a part of the figures: use --url from another machine, or wait until this one "
            "is idle."
        )
    return lines


def _cell(found: dict[str, Any] | None, name: str) -> str:
    return "" if found is None else f"{found[name]:.0f}"


def _format(value: Any, spec: str) -> str:
    return "" if value is None else format(value, spec)


def _draw(figures: dict[str, Any]) -> str:
    """The distribution of the first audio at each rate."""
    curves = {
        f"{rate} x capacity": cumulative(one["first_audio_ms"])
        for rate, one in figures["rates"].items()
        if one["spoken"]
    }
    if not curves:
        raise ValueError("--picture: no call was spoken, so there is nothing to draw")
    return distributions("Calls whose first audio came within a time", curves)
