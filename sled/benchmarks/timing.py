"""Timing of functions in turns, and of the phases of a step."""

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
    """Time several functions, round by round.

    They take turns, so that other work on the machine affects all of them. The first round is a
    warm-up and is not counted.

    Returns:
        Seconds of each function in each round.
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
    """Times the phases of a step.

    A GPU works asynchronously, so its phases are timed by events in its stream, without waiting
    between them.

    Args:
        device: Device of the work.
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
        """Add the time of this block to a phase, which may have several blocks.

        Args:
            name: Name of the phase.
            on_host: Time the host, not the GPU.
        """
        if self._device.type == "cuda" and not on_host:
            start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
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
        """End the step, and return its total seconds and those of its phases.

        Phases of the host and of the GPU can overlap, so they need not add up to the total.
        """
        synchronize(self._device)
        total_s, phases = time.perf_counter() - self._since, dict(self._host_s)
        for name, start, end in self._events:
            phases[name] = phases.get(name, 0.0) + start.elapsed_time(end) / 1e3
        self._start_step()
        return total_s, phases
