"""Reports of benchmarks: figures with their spread, the machine, as text and as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
import torch

from sled.files.cpu import cpu_name


@dataclass(frozen=True)
class Spread:
    """A figure that was measured several times.

    Attributes:
        median: Median of the measurements.
        low: Lower quartile.
        high: Upper quartile.
        count: Number of measurements.
    """

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise one or more measurements."""
        low, median, high = np.percentile(values, [25, 50, 75]).tolist()
        return cls(median, low, high, len(values))

    def over(self, baseline: Spread) -> float:
        """Return the ratio of the medians of this and the baseline."""
        return self.median / baseline.median

    def __format__(self, spec: str) -> str:
        low, median, high = (format(x, spec) for x in (self.low, self.median, self.high))
        if self.count == 1:
            return median
        return f"{median} ({low} to {high})"


@dataclass(frozen=True)
class Report:
    """The result of a benchmark.

    Attributes:
        name: Name of the benchmark.
        machine: The result of `describe_machine`.
        settings: The flags.
        figures: All measurements; values may be `Spread`s.
        text: The same as text.
    """

    name: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    figures: dict[str, Any]
    text: str

    def __str__(self) -> str:
        machine = ", ".join(f"{key} {value}" for key, value in self.machine.items())
        return f"benchmark {self.name} on: {machine}\n\n{self.text}"

    def to_json(self) -> str:
        """Return everything but the text as a JSON object on one line."""
        parts = {"benchmark": self.name, "machine": self.machine, "settings": self.settings}
        return json.dumps(parts | self.figures, default=_plain)


def print_report(report: Report, json_too: bool) -> None:
    """Print a report, and all its figures as JSON on the last line if asked for."""
    print(report)
    if json_too:
        print(report.to_json())


def _plain(value: Any) -> Any:
    """Convert a value that JSON cannot represent."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)


def describe_machine(device: torch.device | None = None) -> dict[str, Any]:
    """Describe the processors, and the versions of Python and torch.

    Args:
        device: A GPU to describe as well. None, or a CPU: none.
    """
    machine: dict[str, Any] = {
        "cpu": cpu_name(),
        "cores": _usable_cores(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    if device is not None and device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        machine["gpu"] = properties.name
        machine["gpu_memory_gib"] = round(properties.total_memory / 2**30, 1)
        machine["gpu_power_limit_w"] = _power_limit_w(f"GPU-{properties.uuid}")
    return machine


def _usable_cores() -> int | None:
    """Return the number of cores that this process may use, which a container can limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _power_limit_w(gpu: str) -> float | None:
    """Return the power limit of a GPU, which affects its speed; None if it is unknown."""
    query = [f"--id={gpu}", "--query-gpu=power.limit", "--format=csv,noheader,nounits"]
    try:
        output = subprocess.check_output(
            ["nvidia-smi", *query], stderr=subprocess.DEVNULL, text=True
        )
        return float(output)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None


def table(rows: Sequence[Sequence[str]]) -> str:
    """Format rows as lines of aligned columns, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
