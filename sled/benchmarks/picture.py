"""Bar charts of times and their parts, as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

WIDTH, LABELS, BAR, GAP = 760, 150, 26, 14
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
    extent = f'width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}"'
    start = f'<svg xmlns="http://www.w3.org/2000/svg" {extent} font-family="sans-serif">'
    return "\n".join([start, '<rect width="100%" height="100%" fill="white"/>', *lines, "</svg>\n"])


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" font-size="13" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )
