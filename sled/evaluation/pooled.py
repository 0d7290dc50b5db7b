"""Results of several models that were trained alike, as one: their seeds are those of training.

A folder of variants holds VARIANT/SEED/results.json of each model, and head.json if its draws were
judged (`sled.training.held_out`), see runs/ablations. What is counted there is kept in one small
file, from which the table and the picture are made.

Shapes: M models of a variant, I texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sled.evaluation.statistics import Comparison, Estimate, compare, estimate


@dataclass(frozen=True)
class Counts:
    """What was counted of a variant in one mode.

    Attributes:
        variant: Its name.
        mode: How it spoke.
        seeds: [M] names of the seeds of training.
        steps: [M] optimiser steps that each model was trained for. 0: unknown.
        scores: [M] energy scores of held-out frames. None: not judged.
        spreads: [M] distances of draws from each other, relative to that from the truth.
        texts: [I] ids of the texts.
        errors: [M, I] wrong words.
        words: [M, I] words.
    """

    variant: str
    mode: str
    seeds: list[str]
    steps: list[int]
    scores: list[float | None]
    spreads: list[float | None]
    texts: list[str]
    errors: list[list[int]]
    words: list[list[int]]


@dataclass(frozen=True)
class Variant:
    """A variant in one mode.

    Attributes:
        name: Its name.
        mode: How it spoke.
        steps: Optimiser steps of a model, the mean. 0: unknown.
        score: Energy score of held-out frames, the mean. None: not judged.
        spread: Spread of its draws, the mean.
        by_seed: The error rate of each model.
        error_rate: Of all models.
        compared: With the first variant in the same mode. None: it is the first.
    """

    name: str
    mode: str
    steps: int
    score: float | None
    spread: float | None
    by_seed: tuple[float, ...]
    error_rate: Estimate
    compared: Comparison | None


def count_variants(folder: Path, steps_of: Callable[[str, str], int]) -> list[Counts]:
    """Count what the results of all variants in a folder tell.

    Args:
        folder: Holds VARIANT/SEED/results.json.
        steps_of: Returns the optimiser steps of a variant and seed; 0 if it does not know.

    Raises:
        ValueError: If there are none, or seeds of a variant were judged in other modes or on other
            texts.
    """
    counted = []
    for name in sorted({path.parts[-3] for path in folder.glob("*/*/results.json")}):
        paths = sorted((folder / name).glob("*/results.json"))
        steps = [steps_of(name, path.parent.name) for path in paths]
        judged = [_judged_draws(path.parent / "head.json") for path in paths]
        seeds: list[dict[str, Any]] = [
            json.loads(path.read_text(encoding="utf-8"))["systems"] for path in paths
        ]
        for seed, path in zip(seeds, paths, strict=True):
            if _judged(seed) != _judged(seeds[0]):
                raise ValueError(
                    f"{path} was judged in other modes or on other texts than {paths[0]}: judge "
                    "all seeds alike"
                )
        for mode in seeds[0]:
            spoken = [seed[mode]["utterances"] for seed in seeds]
            counted.append(
                Counts(
                    name,
                    mode,
                    [path.parent.name for path in paths],
                    steps,
                    [one.get("score") for one in judged],
                    [one.get("spread") for one in judged],
                    [one["id"] for one in spoken[0]],
                    [[one["errors"] for one in each] for each in spoken],
                    [[one["words"] for one in each] for each in spoken],
                )
            )
    if not counted:
        raise ValueError(f"{folder} holds no VARIANT/SEED/results.json: run the variants first")
    return counted


def _judged(systems: dict[str, Any]) -> dict[str, list[str]]:
    """The ids of the texts that a model spoke in each mode."""
    return {mode: [one["id"] for one in of["utterances"]] for mode, of in systems.items()}


def _judged_draws(path: Path) -> dict[str, float]:
    judged: dict[str, float] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return judged


def write_counts(counted: Sequence[Counts], path: Path) -> None:
    """Write counts as JSON, a line for each."""
    lines = ",\n".join(json.dumps(asdict(one)) for one in counted)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def read_counts(path: Path) -> list[Counts]:
    """Read what `write_counts` wrote."""
    return [Counts(**one) for one in json.loads(path.read_text(encoding="utf-8"))]


def merge_counts(counted: Sequence[Counts]) -> list[Counts]:
    """Put the models of each variant together that were counted apart, in the order of seeds.

    Raises:
        ValueError: If a seed is there twice, or some models were judged on other texts.
    """
    merged: dict[tuple[str, str], Counts] = {}
    for one in counted:
        key = one.variant, one.mode
        merged[key] = _joined(merged[key], one) if key in merged else one
    return list(merged.values())


def _joined(a: Counts, b: Counts) -> Counts:
    where = f"{a.variant}, {a.mode}"
    if twice := set(a.seeds) & set(b.seeds):
        raise ValueError(f"{where}: seed {min(twice)} is there twice")
    if a.texts != b.texts:
        raise ValueError(f"{where}: some were judged on other texts: judge them again")
    seeds = a.seeds + b.seeds
    order = sorted(range(len(seeds)), key=lambda index: seeds[index])

    def ordered(values: list[Any]) -> list[Any]:
        return [values[index] for index in order]

    return Counts(
        a.variant,
        a.mode,
        ordered(seeds),
        ordered(a.steps + b.steps),
        ordered(a.scores + b.scores),
        ordered(a.spreads + b.spreads),
        a.texts,
        ordered(a.errors + b.errors),
        ordered(a.words + b.words),
    )


def pool_variants(counted: Sequence[Counts], compared_with: str) -> list[Variant]:
    """Return the error rates of variants, those in the same mode together, the best first.

    Args:
        counted: What was counted.
        compared_with: The variant that the others are compared with, and that comes first.

    Raises:
        ValueError: If it is not there, or others were judged on other texts.
    """
    variants = []
    for mode in sorted({one.mode for one in counted}):
        of_mode = {one.variant: one for one in counted if one.mode == mode}
        if compared_with not in of_mode:
            raise ValueError(f"there are no results of {compared_with}, {mode}: run it first")
        first = of_mode.pop(compared_with)
        others = [_pooled(one, first) for one in of_mode.values()]
        others.sort(key=lambda one: one.error_rate.value)
        variants += [_pooled(first, None), *others]
    return variants


def _pooled(one: Counts, first: Counts | None) -> Variant:
    errors, words = np.array(one.errors, float), np.array(one.words, float)
    compared = None
    if first is not None:
        if one.texts != first.texts:
            raise ValueError(
                f"{one.variant} and {first.variant} were judged on other texts: judge them again"
            )
        reference = np.array(first.errors, float), np.array(first.words, float)
        compared = compare(reference, (errors, words))
    return Variant(
        name=one.variant,
        mode=one.mode,
        steps=round(float(np.mean(one.steps))),
        score=_mean(one.scores),
        spread=_mean(one.spreads),
        by_seed=tuple((errors.sum(1) / words.sum(1)).tolist()),
        error_rate=estimate(errors, words),
        compared=compared,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def pooled_table(variants: Sequence[Variant]) -> str:
    """Return a Markdown table of variants."""
    columns = ["variant", "mode", "steps", "score", "spread", "error rate", "by seed"]
    columns += ["minus the first", "better than the first"]
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for one in variants:
        rate, other = one.error_rate, one.compared
        cells = [
            one.name,
            one.mode,
            f"{one.steps:,}" if one.steps else "",
            "" if one.score is None else f"{one.score:.2f}",
            "" if one.spread is None else f"{one.spread:.2f}",
            f"{rate.value:.1%} [{rate.low:.1%}, {rate.high:.1%}]",
            ", ".join(f"{value:.1%}" for value in one.by_seed),
            ""
            if other is None
            else f"{other.difference:+.1%} [{other.low:+.1%}, {other.high:+.1%}]",
            "" if other is None else f"{other.probability_lower:.0%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write_report(
    run: Path,
    others: Sequence[Path],
    compared_with: str,
    steps_of: Callable[[str, str], int],
) -> str:
    """Write results.json, results.md and results.svg of a run and others into its folder.

    Args:
        run: Folder of the run, with its results in `results`, if it has any of its own.
        others: Counts of other runs, with other seeds.
        compared_with: The variant that the others are compared with.
        steps_of: See `count_variants`.

    Returns:
        The table.

    Raises:
        ValueError: If the results cannot be put together, or there is nothing to compare with.
    """
    counted = [one for path in others for one in read_counts(path)]
    if (run / "results").is_dir():
        counted += count_variants(run / "results", steps_of)
    counted = merge_counts(counted)
    variants = pool_variants(counted, compared_with)
    write_counts(counted, run / "results.json")
    table = pooled_table(variants)
    (run / "results.md").write_text(table, encoding="utf-8")
    (run / "results.svg").write_text(draw_variants(variants), encoding="utf-8")
    return table


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
