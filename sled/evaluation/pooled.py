"""Results of several models that were trained alike, as one: their seeds are those of training.

A folder of variants holds VARIANT/SEED/results.json of each model, see runs/ablations.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sled.evaluation.statistics import Comparison, Estimate, compare, estimate


@dataclass(frozen=True)
class Variant:
    """A variant in one mode.

    Attributes:
        name: Its name.
        mode: How it spoke.
        seeds: Number of models.
        by_seed: The error rate of each.
        error_rate: Over all of them.
        compared: With the first variant in the same mode. None: it is the first.
    """

    name: str
    mode: str
    seeds: int
    by_seed: tuple[float, ...]
    error_rate: Estimate
    compared: Comparison | None


def pool_variants(folder: Path, compared_with: str) -> list[Variant]:
    """Read the results of all variants in a folder.

    Args:
        folder: Holds VARIANT/SEED/results.json.
        compared_with: The variant that the others are compared with; without it, the first by name.

    Raises:
        ValueError: If there are none, or two were judged on other texts.
    """
    names = sorted(path.name for path in folder.iterdir() if any(path.glob("*/results.json")))
    if not names:
        raise ValueError(f"{folder} holds no VARIANT/SEED/results.json: run the variants first")
    first = compared_with if compared_with in names else names[0]
    names.remove(first)
    counts = {name: _counts_of(folder / name) for name in (first, *names)}
    variants = []
    for mode in counts[first]:
        ids, *reference = counts[first][mode][:3]
        for name in (first, *names):
            if mode not in counts[name]:
                continue
            own_ids, errors, words, by_seed = counts[name][mode]
            if own_ids != ids:
                raise ValueError(f"{name} and {first} were judged on other texts: judge them again")
            compared = None
            if name != first:
                compared = compare((reference[0], reference[1]), (errors, words))
            variants.append(
                Variant(name, mode, len(by_seed), by_seed, estimate(errors, words), compared)
            )
    return variants


Counts = tuple[list[str], np.ndarray, np.ndarray, tuple[float, ...]]


def _counts_of(folder: Path) -> dict[str, Counts]:
    """For each mode: ids of the texts, their errors and words over all seeds, and rates by seed."""
    runs: dict[str, list[Sequence[dict[str, Any]]]] = {}
    for path in sorted(folder.glob("*/results.json")):
        systems = json.loads(path.read_text(encoding="utf-8"))["systems"]
        for mode, system in systems.items():
            runs.setdefault(mode, []).append(system["utterances"])
    counts = {}
    for mode, seeds in runs.items():
        errors = np.array([[one["errors"] for one in each] for each in seeds], float)
        words = np.array([[one["words"] for one in each] for each in seeds], float)
        rates = tuple((errors.sum(1) / words.sum(1)).tolist())
        counts[mode] = ([one["id"] for one in seeds[0]], errors.sum(0), words.sum(0), rates)
    return counts


def pooled_table(variants: Sequence[Variant]) -> str:
    """Return a Markdown table of variants."""
    lines = [
        "| variant | mode | error rate | by seed | minus the first | better than the first |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in variants:
        rate, other = one.error_rate, one.compared
        cells = [
            one.name,
            one.mode,
            f"{rate.value:.1%} [{rate.low:.1%}, {rate.high:.1%}]",
            ", ".join(f"{value:.1%}" for value in one.by_seed),
            ""
            if other is None
            else f"{other.difference:+.1%} [{other.low:+.1%}, {other.high:+.1%}]",
            "" if other is None else f"{other.probability_lower:.0%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw_variants(variants: Sequence[Variant]) -> str:
    """Draw the error rates with their intervals as SVG, a line for each variant."""
    left, right, step = 220, 620, 22
    top = max(one.error_rate.high for one in variants) or 1.0
    height = step * (len(variants) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right + 60} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{right + 60}" height="{height}" fill="white"/>',
    ]
    for number, one in enumerate(variants):
        y = step * (number + 1)
        low, value, high = (
            left + each / top * (right - left)
            for each in (one.error_rate.low, one.error_rate.value, one.error_rate.high)
        )
        parts.append(
            f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{one.name}, {one.mode}</text>'
        )
        parts.append(f'<path d="M{low:.1f} {y}H{high:.1f}" stroke="#0f6b6b" stroke-width="2"/>')
        parts.append(f'<circle cx="{value:.1f}" cy="{y}" r="4" fill="#0f6b6b"/>')
        parts.append(f'<text x="{high + 8:.1f}" y="{y + 4}">{one.error_rate.value:.1%}</text>')
    return "\n".join([*parts, "</svg>", ""])
