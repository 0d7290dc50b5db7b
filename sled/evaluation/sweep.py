"""Which setting of a model speaks best: combinations, the choice among them, and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from sled.decoding import DecodingOptions
from sled.evaluation.results import Results
from sled.files.checkpoint import CONFIG_FILE
from sled.model.config import Config

WIDTH, HEIGHT, MARGIN, LABELS = 640, 400, 50, 180
COLOURS = ("#0f6b6b", "#c06a1f", "#7a4fa3", "#3f7d2c", "#b03060", "#4a6fb5", "#8a7a1a", "#666666")


def combinations(**values: Sequence[float] | None) -> dict[str, dict[str, Any]]:
    """Return all combinations of settings, by a name that says which.

    Args:
        values: The values of each setting to try. None: the model's own.

    Raises:
        ValueError: If there is nothing to try, or a value is impossible.
    """
    given = {name: tried for name, tried in values.items() if tried}
    if not given:
        raise ValueError(
            f"there is nothing to try: give {' or '.join(f'--{name}' for name in values)}"
        )
    made = {}
    for combination in product(*given.values()):
        changes: dict[str, Any] = dict(zip(given, combination, strict=True))
        DecodingOptions(**changes)  # checks the values
        made["_".join(f"{name}-{value:g}" for name, value in changes.items())] = changes
    return made


def best_setting(results: Results) -> str:
    """Return the name of the best setting.

    It has the lowest error rate. If quality was rated, it has the highest rating among those whose
    error rate is not higher than the lowest with certainty.
    """
    systems = results["systems"]
    rates: dict[str, float] = {
        name: one["figures"]["error_rate"]["value"] for name, one in systems.items()
    }
    lowest = min(rates, key=lambda name: rates[name])
    quality = next((key for key in ("utmos", "dnsmos") if key in systems[lowest]["figures"]), None)
    if quality is None:
        return lowest
    worse = set()
    for one in results["comparisons"]:
        if one["metric"] == "error_rate" and lowest in (one["first"], one["second"]):
            if one["second"] == lowest and one["high"] < 0:
                worse.add(one["first"])
            elif one["first"] == lowest and one["low"] > 0:
                worse.add(one["second"])
    quality_of: dict[str, float] = {
        name: systems[name]["figures"][quality]["value"] for name in rates.keys() - worse
    }
    return max(quality_of, key=lambda name: (quality_of[name], -rates[name]))


def write_setting(model: str | None, changes: Mapping[str, Any]) -> None:
    """Write settings into the configuration of a model, as its defaults for speaking.

    Raises:
        ValueError: If it is not a folder with a configuration.
    """
    folder = Path(model or "")
    if model is None or not (folder / CONFIG_FILE).is_file():
        raise ValueError(f"--write needs the folder of a model, and {model} is none")
    config = Config.load(folder)
    for name, value in changes.items():
        setattr(config.speaking, name, value)
    config.save(folder)


def draw_sweep(results: Results, tried: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw error rates with their intervals as SVG.

    The first setting with several values is the horizontal axis; the others make a line each.
    """
    axes = list(next(iter(tried.values())))
    axis = next((one for one in axes if len({each[one] for each in tried.values()}) > 1), axes[0])
    positions = sorted({changes[axis] for changes in tried.values()})
    lines: dict[str, list[tuple[float, dict[str, float]]]] = {}
    for name, changes in tried.items():
        label = ", ".join(f"{key} {value:g}" for key, value in changes.items() if key != axis)
        figure = results["systems"][name]["figures"]["error_rate"]
        lines.setdefault(label, []).append((changes[axis], figure))
    top = max(figure["high"] for line in lines.values() for _, figure in line) or 1.0
    right = WIDTH - LABELS

    def x(value: float) -> float:
        share = positions.index(value) / max(1, len(positions) - 1)
        return MARGIN + 15 + share * (right - MARGIN - 30)

    def y(rate: float) -> float:
        return HEIGHT - MARGIN - rate / top * (HEIGHT - 2 * MARGIN)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<path d="M{MARGIN} {MARGIN}V{HEIGHT - MARGIN}H{right}" fill="none" stroke="#888"/>',
        f'<text x="{MARGIN}" y="{MARGIN - 12}">{results["protocol"]["unit"]} error rate</text>',
        f'<text x="{(MARGIN + right) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{axis}</text>',
    ]
    for share in (0, 0.5, 1):
        parts.append(
            f'<text x="{MARGIN - 6}" y="{y(share * top) + 4:.1f}" text-anchor="end">'
            f"{share * top:.1%}</text>"
        )
    for value in positions:
        parts.append(
            f'<text x="{x(value):.1f}" y="{HEIGHT - MARGIN + 16}" text-anchor="middle">'
            f"{value:g}</text>"
        )
    for number, (label, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        line.sort(key=lambda one: one[0])
        points = " ".join(f"{x(at):.1f},{y(figure['value']):.1f}" for at, figure in line)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        for at, figure in line:
            parts.append(
                f'<path d="M{x(at):.1f} {y(figure["low"]):.1f}V{y(figure["high"]):.1f}" '
                f'stroke="{colour}"/><circle cx="{x(at):.1f}" cy="{y(figure["value"]):.1f}" r="3" '
                f'fill="{colour}"/>'
            )
        if label:
            parts.append(
                f'<text x="{right + 12}" y="{MARGIN + 18 * number}" fill="{colour}">'
                f"{escape(label)}</text>"
            )
    return "\n".join([*parts, "</svg>", ""])
