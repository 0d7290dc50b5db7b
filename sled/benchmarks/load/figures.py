"""Figures of runs: first audio, underruns, refusals, and the speech that was heard in time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sled.benchmarks.load.caller_runs import Run
from sled.benchmarks.load.outcome import Alone, Ending, Outcome
from sled.benchmarks.load.scripts import Script
from sled.benchmarks.report import Spread

PERCENTILES = (50, 90, 99, 100)
# Edges of histograms, in ms: twenty to a factor of ten, from 1 ms to 100 s.
EDGES_MS = np.logspace(0, 5, 101)
# A player would not wait so long: a rounding of clocks.
INAUDIBLE_S = 1e-3

Standards = Mapping[Script, Alone]
"""How each script goes on an idle server."""


def underrun_s(outcome: Outcome, standards: Standards) -> float | None:
    """How long a player waited for audio after its start; None if the text limits the speech."""
    if standards[outcome.script].limited_by_text:
        return None
    stalled_s = outcome.stalled_s
    return stalled_s if stalled_s > INAUDIBLE_S else 0.0


def is_good(outcome: Outcome, standards: Standards) -> bool:
    """Whether a call is heard without an underrun, so far or to its end."""
    heard = outcome.ending in (Ending.SPEAKING, Ending.SPOKEN) and len(outcome.chunks) > 0
    return heard and not underrun_s(outcome, standards)


def goodput(
    outcomes: Sequence[Outcome], standards: Standards, start_s: float, end_s: float
) -> float:
    """Seconds of audio per second, of good calls only, between two times of the run."""
    good = (outcome for outcome in outcomes if is_good(outcome, standards))
    return sum(outcome.audio_between(start_s, end_s) for outcome in good) / (end_s - start_s)


def summarize(runs: Sequence[Run], standards: Standards, queue_s: float | None) -> dict[str, Any]:
    """The figures of the runs at one rate. Percentiles are those of all their calls together.

    Args:
        runs: The runs; one or more.
        standards: How each script goes alone.
        queue_s: How long the server lets a caller wait before it refuses him. None: not known.
    """
    calls = [outcome for run in runs for outcome in run.outcomes]
    spoken = [outcome for outcome in calls if outcome.ending is Ending.SPOKEN]
    refused_s = [outcome.ended_s for outcome in calls if outcome.ending is Ending.REFUSED]
    failed = [outcome.reason for outcome in calls if outcome.ending is Ending.FAILED]
    waits_s = [_first_audio(outcome, standards) for outcome in spoken]
    stalls = [(one, underrun_s(one, standards)) for one in spoken]
    judged = [seconds for _, seconds in stalls if seconds is not None]
    behind = [
        one.stalled_s - standards[one.script].stalled_s for one, stall in stalls if stall is None
    ]
    audio_s = sum(outcome.audio_s for outcome in calls)
    figures = {
        "callers": len(calls),
        "spoken": len(spoken),
        "refused": len(refused_s),
        "failed": len(failed),
        "reasons": Counter(failed).most_common(3),
        "first_audio_ms": percentiles(waits_s),
        "first_audio_median_ms": _spread(
            [
                1e3 * float(np.median(own))
                for run in runs
                if (own := [_first_audio(x, standards) for x in run.outcomes if x.chunks])
            ]
        ),
        "underruns": sum(seconds > 0 for seconds in judged),
        "judged": len(judged),
        "underrun_ms": percentiles([seconds for seconds in judged if seconds]),
        "buffer_ms": percentiles(
            [one.buffer_s for one, stalled_s in stalls if stalled_s is not None]
        ),
        "typist_behind_ms": percentiles(behind),
        "refusal_ms": percentiles(refused_s),
        "goodput": _spread([goodput(run.outcomes, standards, 0, run.seconds) for run in runs]),
        "wasted_share": 1 - sum(x.audio_s for x in calls if is_good(x, standards)) / audio_s
        if audio_s
        else 0.0,
        "client_late_ms": percentiles([late for run in runs for late in run.client_late_s]),
        "client_load": max(run.client_load for run in runs),
    }
    if queue_s is not None:
        # Who waited in the queue is answered when the wait is over, others at once.
        late = [seconds - queue_s if seconds >= queue_s else seconds for seconds in refused_s]
        figures["refusal_beyond_queue_ms"] = percentiles(late)
    return figures


def _first_audio(outcome: Outcome, standards: Standards) -> float:
    """Seconds from the text that is enough until audio came."""
    return outcome.first_audio_s - standards[outcome.script].enough_s


def _spread(values: Sequence[float]) -> Spread | None:
    return Spread.of(values) if values else None


def percentiles(seconds: Sequence[float]) -> dict[str, Any] | None:
    """Percentiles in ms of durations, and their histogram; None if there are none.

    Args:
        seconds: The durations.
    """
    if not seconds:
        return None
    values = 1e3 * np.asarray(seconds)
    found = np.percentile(values, PERCENTILES).tolist()
    counts = np.histogram(np.clip(values, EDGES_MS[0], EDGES_MS[-1]), EDGES_MS)[0]
    filled = {f"{EDGES_MS[at]:.3g}": int(counts[at]) for at in np.flatnonzero(counts)}
    named = {f"p{name}": value for name, value in zip(PERCENTILES, found, strict=True)}
    return {"count": len(values), **named, "histogram": filled}


def cumulative(found: dict[str, Any]) -> list[tuple[float, float]]:
    """Of `percentiles`, times in ms and the share of the values up to each."""
    edges = {f"{low:.3g}": high for low, high in zip(EDGES_MS[:-1], EDGES_MS[1:], strict=True)}
    points, so_far = [], 0
    for low, number in found["histogram"].items():
        points.append((float(low), so_far / found["count"]))
        so_far += number
        points.append((float(edges[low]), so_far / found["count"]))
    return points
