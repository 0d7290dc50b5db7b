"""Clocks: whole functions in turns, and the phases of a step."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from sled.training.callbacks.throughput import synchronize


def time_in_turns(
    functions: Mapping[str, Callable[[], object]], rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds that each of some functions takes, round by round.

    They take turns, so that whatever else the machine does meets all of them alike; the first round
    warms up and is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            synchronize(device)
            start = time.perf_counter()
            function()
            synchronize(device)
            if number > 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


class PhaseClock:
    """Seconds that the phases of a step take.

    A GPU runs behind the program that feeds it, so it times phases itself, by events in its stream,
    without being made to wait between them.

    Args:
        device: Where the work of the phases is done.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._start_step()

    def _start_step(self) -> None:
        synchronize(self._device)
        self._host_s: dict[str, float] = defaultdict(float)
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        self._since = time.perf_counter()

    @contextmanager
    def phase(self, name: str, on_host: bool = False) -> Iterator[None]:
        """Count the time of this block towards a phase; a phase may have several blocks.

        Args:
            name: Of the phase.
            on_host: Time what the program waits for, not what the GPU does.
        """
        if self._device.type == "cuda" and not on_host:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record(torch.cuda.current_stream(self._device))
            yield
            end.record(torch.cuda.current_stream(self._device))
            self._events.append((name, start, end))
        else:
            begin = time.perf_counter()
            yield
            if not on_host:
                synchronize(self._device)
            self._host_s[name] += time.perf_counter() - begin

    def finish_step(self) -> tuple[float, dict[str, float]]:
        """End the step: its seconds in all, and by phase. The next step begins.

        What the host waits for may overlap with what the GPU does, so phases need not add up.
        """
        synchronize(self._device)
        total_s, phases = time.perf_counter() - self._since, dict(self._host_s)
        for name, start, end in self._events:
            phases[name] = phases.get(name, 0.0) + start.elapsed_time(end) / 1e3
        self._start_step()
        return total_s, phases
