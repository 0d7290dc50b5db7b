"""Charts as SVG: bars of times and their parts, distributions of times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, LABELS, BAR, GAP = 760, 150, 26, 14
# Height of a chart of curves, and the colour of its grid.
CURVES, GRID = 260, "#dee2e6"
COLOURS = ("#33658a", "#f26419", "#2f9e44", "#9c36b5", "#868e96", "#f6ae2d", "#55dde0")


def stacked_bars(title: str, bars: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """Return a chart of horizontal bars on the same scale, each divided into parts.

    Args:
        title: Title of the chart.
        bars: For the label of each bar, the sizes of its parts by name.
        unit: Unit of the sizes.
    """
    names = list(dict.fromkeys(name for parts in bars.values() for name in parts))
    colour = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    scale = (WIDTH - LABELS - 90) / max(sum(parts.values()) for parts in bars.values())
    lines = [_text(0, 16, title, weight="bold")]
    y = 34
    for label, parts in bars.items():
        lines.append(_text(LABELS - 8, y + 17, label, anchor="end"))
        x = float(LABELS)
        for name, size in parts.items():
            lines.append(
                f'<rect x="{x:.1f}" y="{y}" width="{size * scale:.1f}" height="{BAR}" '
                f'fill="{colour[name]}"><title>{escape(name)}: {size:.2f} {unit}</title></rect>'
            )
            x += size * scale
        lines.append(_text(x + 6, y + 17, f"{sum(parts.values()):.2f} {unit}"))
        y += BAR + GAP
    for name in names:
        sizes = [parts[name] for parts in bars.values() if name in parts]
        lines.append(f'<rect x="{LABELS}" y="{y}" width="12" height="12" fill="{colour[name]}"/>')
        listed = ", ".join(f"{size:.2f}" for size in sizes)
        lines.append(_text(LABELS + 20, y + 11, f"{name}: {listed} {unit}"))
        y += 20
    return _page(y, lines)


def timeline(title: str, lanes: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Return a chart of when things were done, with a lane for each of them.

    Args:
        title: Title of the chart.
        lanes: For the label of each lane, when it was busy, as (start, end) in milliseconds.
    """
    end = max(stop for busy in lanes.values() for _, stop in busy)
    scale = (WIDTH - LABELS - 20) / end
    lines = [_text(0, 16, title, weight="bold")]
    y = 34
    for index, (label, busy) in enumerate(lanes.items()):
        lines.append(_text(LABELS - 8, y + 17, label, anchor="end"))
        for start, stop in busy:
            lines.append(
                f'<rect x="{LABELS + start * scale:.2f}" y="{y}" '
                f'width="{max(0.3, (stop - start) * scale - 0.3):.2f}" height="{BAR}" '
                f'fill="{COLOURS[index % len(COLOURS)]}"/>'
            )
        total = sum(stop - start for start, stop in busy)
        lines.append(_text(LABELS, y + BAR + 14, f"busy for {total:.0f} of {end:.0f} ms"))
        y += BAR + GAP + 12
    return _page(y, lines)


def distributions(title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Return a chart of cumulative shares over times in milliseconds, on a logarithmic scale.

    Args:
        title: Title of the chart.
        curves: For the label of each curve, times and the share of values up to each, in order.
            There is at least one point, and times are above 0.
    """
    times = [time_ms for points in curves.values() for time_ms, _ in points]
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    high = max(high, low + 1)

    def place(time_ms: float, share: float) -> tuple[float, float]:
        x = 50 + (WIDTH - 90) * (math.log10(time_ms) - low) / (high - low)
        return x, 34 + CURVES * (1 - share)

    lines = [_text(0, 16, title, weight="bold")]
    for power in range(low, high + 1):
        x, bottom = place(10**power, 0)
        lines.append(_line([(x, 34), (x, bottom)], GRID))
        label = f"{10**power:g} ms" if power < 3 else f"{10 ** (power - 3):g} s"
        lines.append(_text(x, bottom + 18, label, anchor="middle"))
    for percent in (0, 25, 50, 75, 100):
        left, y = place(10**low, percent / 100)
        lines.append(_line([(left, y), (WIDTH - 40, y)], GRID))
        lines.append(_text(left - 6, y + 4, f"{percent} %", anchor="end"))
    for index, (label, points) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        lines.append(_line([place(*point) for point in points], colour, 2))
        y = CURVES + 70 + 20 * index
        lines.append(_line([(50, y), (74, y)], colour, 2))
        lines.append(_text(82, y + 4, label))
    return _page(CURVES + 70 + 20 * len(curves), lines)


def _page(height: int, lines: Sequence[str]) -> str:
    extent = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    start = f'<svg xmlns="http://www.w3.org/2000/svg" {extent} font-family="sans-serif">'
    return "\n".join([start, '<rect width="100%" height="100%" fill="white"/>', *lines, "</svg>\n"])


def _line(points: Sequence[tuple[float, float]], colour: str, width: int = 1) -> str:
    listed = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{listed}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" font-size="13" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )
