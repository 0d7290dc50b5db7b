"""From recitals to a report: what was heard, counted, and laid out as tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lhotse.cut import Cut
from tqdm import tqdm

from sled.evaluation.digits import DigitScore, count_errors, score_by_length, score_digits
from sled.evaluation.systems import Recital, text_of
from sled.evaluation.transcribe import Transcriber

# Speech shorter than this share of the recording cannot hold all its digits.
EARLY_STOP_RATIO = 0.5


@dataclass(frozen=True)
class SystemReport:
    """Figures of one system.

    Attributes:
        name: Of the system.
        score: Over all strings.
        by_length: Per number of digits.
        duration_ratio: Median of the lengths relative to the recordings'.
        cut_off: Share of utterances that had not stopped at the length limit.
        early_stops: Share of utterances under half as long as the recording.
        real_time_factor: Seconds of work per second of speech; None for recordings.
        utterances: What was to be said and what was heard, one entry each.
    """

    name: str
    score: DigitScore
    by_length: dict[int, DigitScore]
    duration_ratio: float
    cut_off: float
    early_stops: float
    real_time_factor: float | None
    utterances: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """All figures, with the rates that follow from the counts, ready for JSON."""
        rates = {"error_rate": self.score.error_rate, "exact_rate": self.score.exact_rate}
        return {**asdict(self), **rates}


def judge(
    name: str, recital: Recital, cuts: Sequence[Cut], transcriber: Transcriber
) -> SystemReport:
    """Let the listener write down a recital, and count.

    Args:
        name: Of the system.
        recital: Its speech.
        cuts: The test set, in the same order.
        transcriber: The listener.
    """
    references = [text_of(cut) for cut in cuts]
    transcripts = [
        transcriber(waveform, recital.sample_rate)
        for waveform in tqdm(recital.waveforms, f"listening to {name}", disable=None, leave=False)
    ]
    seconds = np.array([len(waveform) / recital.sample_rate for waveform in recital.waveforms])
    ratios = seconds / np.array([cut.duration for cut in cuts])
    factor = None
    if recital.synthesis_s is not None and seconds.sum() > 0:
        factor = recital.synthesis_s / float(seconds.sum())
    return SystemReport(
        name=name,
        score=score_digits(references, transcripts),
        by_length=score_by_length(references, transcripts),
        duration_ratio=float(np.median(ratios)),
        cut_off=float(np.mean(recital.cut_off)),
        early_stops=float(np.mean(ratios < EARLY_STOP_RATIO)),
        real_time_factor=factor,
        utterances=[
            {
                "id": cut.id,
                "text": reference,
                "heard": transcript,
                "errors": count_errors(reference, transcript),
                "seconds": round(float(length), 3),
            }
            for cut, reference, transcript, length in zip(
                cuts, references, transcripts, seconds, strict=True
            )
        ],
    )


def markdown_tables(reports: Sequence[SystemReport]) -> str:
    """Two tables: the figures of each system, and its error rate per number of digits."""
    header = (
        "system",
        "digit error rate",
        "errors / digits",
        "strings without error",
        "length, median vs. recording",
        "cut off",
        "early stops",
        "real-time factor",
    )
    rows = [
        (
            report.name,
            f"{report.score.error_rate:.1%}",
            f"{report.score.errors} / {report.score.digits}",
            f"{report.score.exact_rate:.0%}",
            f"{report.duration_ratio:.2f}",
            f"{report.cut_off:.0%}",
            f"{report.early_stops:.0%}",
            "" if report.real_time_factor is None else f"{report.real_time_factor:.2f}",
        )
        for report in reports
    ]
    lengths = sorted({length for report in reports for length in report.by_length})
    length_rows = [
        (
            report.name,
            *(
                f"{score.errors} / {score.digits}" if score else ""
                for score in map(report.by_length.get, lengths)
            ),
        )
        for report in reports
    ]
    by_length = _table(("errors by length", *map(str, lengths)), length_rows)
    return f"{_table(header, rows)}\n{by_length}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write_report(
    reports: Sequence[SystemReport], settings: dict[str, Any], output_dir: Path
) -> None:
    """Write `results.json` (everything) and `results.md` (the tables) into an existing folder."""
    results = {"settings": settings, "systems": {r.name: r.as_dict() for r in reports}}
    (output_dir / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    (output_dir / "results.md").write_text(markdown_tables(reports))
