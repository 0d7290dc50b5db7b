"""The results of a run: figures with intervals, comparisons, and every utterance."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

from sled.evaluation.metrics import METRICS, Metric, Row, counts_of
from sled.evaluation.run import Run
from sled.evaluation.statistics import compare, estimate
from sled.evaluation.wordings import Wording, choose_wording
from sled.evaluation.words import align_text

logger = logging.getLogger(__name__)

Results = dict[str, Any]
"""What results.json holds; see docs/evaluation.md."""


def collect(run: Run) -> Results:
    """Compute the results of all systems of a run that have spoken all texts and been judged.

    Raises:
        ValueError: If the texts have no words.
    """
    references = [one for item in run.items for one in item.references]
    wording = choose_wording(run.protocol.normaliser, references)
    if not any(wording.split(reference) for reference in references):
        raise ValueError(
            f"{len(run.items)} texts contain no {wording.unit}: there is nothing to score"
        )
    systems = [name for name in run.systems if run.is_complete(name)]
    for name in run.systems.keys() - set(systems):
        logger.warning("%s has not spoken all texts: it is left out of the results", name)
    rows = {name: _rows(run, name, wording) for name in systems}
    return {
        "protocol": {
            **{key: run.made[key] for key in ("digest", "judges", "items", "settings")},
            "name": run.protocol.name,
            "about": run.protocol.about,
            "normaliser": run.protocol.normaliser,
            "unit": wording.unit,
        },
        "systems": {name: _system(run, name, rows[name]) for name in systems},
        "comparisons": [
            compared
            for first, second in combinations(systems, 2)
            for compared in _comparisons(run, first, rows[first], second, rows[second])
        ],
        "judging": {
            "seconds": round(run.judging_s, 2),
            "seconds_of_judges": round(run.judges_s, 2),
        },
    }


def _rows(run: Run, system: str, wording: Wording) -> list[Row]:
    rows = []
    for repetition in run.repetitions(system):
        for item in run.items:
            judged = run.figures_of(system, repetition, item.id)
            alignment = align_text(item.references, judged["heard"], wording)
            spoken = run.spoken[system, repetition, item.id]
            rows.append(Row(item, repetition, spoken, judged, alignment))
    return rows


def _system(run: Run, name: str, rows: Sequence[Row]) -> dict[str, Any]:
    ids = [item.id for item in run.items]
    figures = {}
    for metric in METRICS:
        counted = counts_of(metric, rows, ids)
        if counted is not None:
            figures[metric.key] = {
                **asdict(estimate(*counted)),
                "by_repetition": [
                    _value(metric, [row for row in rows if row.repetition == repetition])
                    for repetition in run.repetitions(name)
                ],
            }
    kinds = list(dict.fromkeys(item.kind for item in run.items if item.kind))
    if all(re.fullmatch(r"[0-9]+( .*)?", kind) for kind in kinds):
        kinds.sort(key=lambda kind: (int(kind.split()[0]), kind))
    return {
        "settings": run.systems[name],
        "words": sum(row.alignment.words for row in rows),
        "errors": sum(row.alignment.errors for row in rows),
        "figures": figures,
        "by_kind": {kind: _kind([row for row in rows if row.item.kind == kind]) for kind in kinds},
        "utterances": [_utterance(run, name, row) for row in rows],
    }


def _value(metric: Metric, rows: Sequence[Row]) -> float | None:
    counts = [count for row in rows if (count := metric.of(row)) is not None]
    below = sum(count[1] for count in counts)
    return sum(count[0] for count in counts) / below if below else None


def _kind(rows: Sequence[Row]) -> dict[str, Any]:
    words, errors = (
        sum(getattr(row.alignment, name) for row in rows) for name in ("words", "errors")
    )
    return {
        "texts": len({row.item.id for row in rows}),
        "words": words,
        "errors": errors,
        "error_rate": errors / words if words else None,
    }


def _utterance(run: Run, system: str, row: Row) -> dict[str, Any]:
    path = run.audio_path(system, row.repetition, row.item.id)
    item, alignment = row.item, row.alignment
    return {
        "id": item.id,
        "kind": item.kind,
        "repetition": row.repetition,
        "text": item.text,
        "errors": alignment.errors,
        "words": alignment.words,
        "pairs": [list(pair) for pair in alignment.pairs],
        "audio": path.relative_to(run.folder).as_posix(),
        **{key: row.spoken[key] for key in ("seed", "stopped", "first_audio_s", "stalls")},
        "synthesis_s": row.spoken["synthesis_s"],
        **row.judged,
    }


def _comparisons(
    run: Run, first: str, first_rows: Sequence[Row], second: str, second_rows: Sequence[Row]
) -> list[dict[str, Any]]:
    ids = [item.id for item in run.items]
    compared = []
    for metric in METRICS:
        if not metric.compared:
            continue
        a, b = counts_of(metric, first_rows, ids), counts_of(metric, second_rows, ids)
        if a is None or b is None:
            continue
        result = compare(a, b)
        lower = result.probability_lower
        compared.append(
            {
                "metric": metric.key,
                "first": first,
                "second": second,
                **asdict(result),
                "probability_second_better": lower if metric.lower_is_better else 1 - lower,
            }
        )
    return compared
