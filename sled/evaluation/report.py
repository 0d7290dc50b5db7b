"""Tables of results in Markdown, and the files of a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sled.evaluation.metrics import METRICS, Metric
from sled.evaluation.page import write_page
from sled.evaluation.published import Published, published_figures
from sled.evaluation.results import Results

# Figures with their interval in the table; of the others there is only the value.
WITH_INTERVAL = ("error_rate", "speaker_similarity", "dnsmos", "utmos")


def write_report(results: Results, folder: Path) -> str:
    """Write `results.json`, `results.md` and `index.html` into a folder.

    Returns:
        The tables.
    """
    text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    (folder / "results.json").write_text(text, encoding="utf-8")
    tables = markdown_tables(results)
    (folder / "results.md").write_text(tables, encoding="utf-8")
    write_page(results, folder)
    return tables


def markdown_tables(results: Results) -> str:
    """Return the tables: figures, figures by class, comparisons, and what others have published."""
    parts = [
        _heading(results),
        _figures(results),
        _kinds(results),
        _comparisons(results),
        _published(results, published_figures(results["protocol"]["name"])),
    ]
    return "\n".join(part for part in parts if part)


def _heading(results: Results) -> str:
    protocol = results["protocol"]
    settings = protocol["settings"]
    return (
        f"Protocol {protocol['name']} ({protocol['digest']}): {protocol['items']} texts, "
        f"{settings['repetitions']} seeds from {settings['first_seed']}, normaliser "
        f"{protocol['normaliser']}. In brackets: intervals of 95 %. Judges: "
        f"{'; '.join(protocol['judges'])}.\n"
    )


def _figures(results: Results) -> str:
    unit, systems = results["protocol"]["unit"], results["systems"]
    shown = [
        metric
        for metric in METRICS
        if any(metric.key in system["figures"] for system in systems.values())
    ]
    header = ["system", *(metric.label.format(unit=unit) for metric in shown)]
    header.insert(2, f"errors / {unit}s")
    rows = []
    for name, system in systems.items():
        row = [name, *(_cell(metric, system["figures"].get(metric.key)) for metric in shown)]
        row.insert(2, f"{system['errors']} / {system['words']}")
        rows.append(row)
    return _table(header, rows)


def _cell(metric: Metric, figure: dict[str, float] | None) -> str:
    if figure is None:
        return ""
    value = metric.write(figure["value"])
    if metric.key not in WITH_INTERVAL:
        return value
    return f"{value} [{metric.write(figure['low'])}, {metric.write(figure['high'])}]"


def _kinds(results: Results) -> str:
    systems = results["systems"]
    kinds = list(next(iter(systems.values()))["by_kind"])
    if not kinds:
        return ""
    rows = [
        [
            kind,
            *(
                f"{one['errors']} / {one['words']}"
                + ("" if one["error_rate"] is None else f" ({one['error_rate']:.0%})")
                for one in (system["by_kind"][kind] for system in systems.values())
            ),
        ]
        for kind in kinds
    ]
    return _table([f"errors / {results['protocol']['unit']}s by class", *systems], rows)


def _comparisons(results: Results) -> str:
    by_key = {metric.key: metric for metric in METRICS}
    unit = results["protocol"]["unit"]
    rows = []
    for one in results["comparisons"]:
        metric = by_key[one["metric"]]
        difference, low, high, smallest = (
            metric.write(one[name]) for name in ("difference", "low", "high", "smallest_difference")
        )
        rows.append(
            [
                f"{one['second']} minus {one['first']}",
                metric.label.format(unit=unit),
                f"{difference} [{low}, {high}]",
                f"{one['probability_second_better']:.0%}",
                smallest,
            ]
        )
    if not rows:
        return ""
    header = ["pair", "figure", "difference", "the first named is better", "smallest to be seen"]
    return _table(header, rows)


def _published(results: Results, published: Sequence[Published]) -> str:
    if not published:
        return ""
    judges = " ".join(results["protocol"]["judges"]).lower()
    rows = [
        [
            one.system,
            one.figure,
            one.value,
            one.judge,
            "yes" if one.judge.lower() in judges else "no",
            one.source,
        ]
        for one in published
    ]
    header = ["published", "figure", "value", "judge", "same judge", "source"]
    return _table(header, rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
