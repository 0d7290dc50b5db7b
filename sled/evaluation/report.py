"""From speech to a report: it is transcribed and scored, and the scores are put into tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lhotse.cut import Cut

from sled.evaluation.digits import DIGITS, are_digit_strings, score_by_length
from sled.evaluation.quality import QualityJudge
from sled.evaluation.speaker import SpeakerJudge
from sled.evaluation.systems import Synthesis, text_of
from sled.evaluation.words import ENGLISH, WordScore, count_errors, score_words
from sled.files.progress import track
from sled.transcribe import Transcriber

# Speech shorter than this share of the recording cannot contain all of its words.
EARLY_STOP_RATIO = 0.5


@dataclass(frozen=True)
class SystemReport:
    """Figures of one system.

    Attributes:
        name: Name of the system.
        unit: What is counted: "word", or "digit" if all texts are digit strings.
        score: Score over all utterances.
        by_length: Scores of digit strings by their number of digits; else empty.
        speaker_similarity: Mean cosine to the speaker's other recordings; None if not judged.
        quality: Mean opinion score, 1 to 5; None if not judged.
        duration_ratio: Median duration relative to the recordings.
        cut_off: Share of utterances that were cut at the length limit.
        early_stops: Share of utterances under half as long as the recording.
        real_time_factor: Duration of the synthesis per second of speech; None for recordings.
        underruns: Total number of stalls of a player; None if the speech was not streamed.
        utterances: Text and transcript of each utterance.
    """

    name: str
    unit: str
    score: WordScore
    by_length: dict[int, WordScore]
    speaker_similarity: float | None
    quality: float | None
    duration_ratio: float
    cut_off: float
    early_stops: float
    real_time_factor: float | None
    underruns: int | None
    utterances: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Return all figures and the rates that follow from them, ready for JSON."""
        rates = {"error_rate": self.score.error_rate, "exact_rate": self.score.exact_rate}
        return {**asdict(self), **rates}


def judge(
    name: str,
    synthesis: Synthesis,
    cuts: Sequence[Cut],
    transcriber: Transcriber,
    speaker_judge: SpeakerJudge | None = None,
    quality_judge: QualityJudge | None = None,
) -> SystemReport:
    """Transcribe and score the speech of a system.

    Args:
        name: Name of the system.
        synthesis: Its speech.
        cuts: The test set, in the same order.
        transcriber: The speech recogniser.
        speaker_judge: Scores the similarity of voices. None: it is not scored.
        quality_judge: Scores naturalness. None: it is not scored.
    """
    references = [text_of(cut) for cut in cuts]
    digits_only = are_digit_strings(references)
    wording = DIGITS if digits_only else ENGLISH
    transcripts = [
        transcriber(waveform, synthesis.sample_rate)
        for waveform in track(synthesis.waveforms, f"transcribing {name}", "text")
    ]
    seconds = np.array([len(waveform) / synthesis.sample_rate for waveform in synthesis.waveforms])
    ratios = seconds / np.array([cut.duration for cut in cuts])
    factor = None
    if synthesis.synthesis_s is not None and seconds.sum() > 0:
        factor = synthesis.synthesis_s / float(seconds.sum())
    return SystemReport(
        name=name,
        unit=wording.unit,
        score=score_words(references, transcripts, wording),
        by_length=score_by_length(references, transcripts) if digits_only else {},
        speaker_similarity=None if speaker_judge is None else speaker_judge(synthesis),
        quality=None if quality_judge is None else quality_judge(synthesis),
        duration_ratio=float(np.median(ratios)),
        cut_off=float(np.mean(synthesis.cut_off)),
        early_stops=float(np.mean(ratios < EARLY_STOP_RATIO)),
        real_time_factor=factor,
        underruns=synthesis.underruns,
        utterances=[
            {
                "id": cut.id,
                "text": reference,
                "heard": transcript,
                "errors": count_errors(wording.split(reference), wording.split(transcript)),
                "seconds": round(float(length), 3),
            }
            for cut, reference, transcript, length in zip(
                cuts, references, transcripts, seconds, strict=True
            )
        ],
    )


def markdown_tables(reports: Sequence[SystemReport]) -> str:
    """Return a table with the figures of each system, and one with errors by number of digits."""
    unit = reports[0].unit
    columns: dict[str, Callable[[SystemReport], str]] = {
        "system": lambda r: r.name,
        f"{unit} error rate": lambda r: f"{r.score.error_rate:.1%}",
        f"errors / {unit}s": lambda r: f"{r.score.errors} / {r.score.words}",
        "utterances without error": lambda r: f"{r.score.exact_rate:.0%}",
        "speaker similarity": lambda r: _or_blank(r.speaker_similarity),
        "DNSMOS": lambda r: _or_blank(r.quality),
        "length, median vs. recording": lambda r: f"{r.duration_ratio:.2f}",
        "cut off": lambda r: f"{r.cut_off:.0%}",
        "early stops": lambda r: f"{r.early_stops:.0%}",
        "real-time factor": lambda r: _or_blank(r.real_time_factor),
        "underruns": lambda r: "" if r.underruns is None else str(r.underruns),
    }
    if all(report.speaker_similarity is None for report in reports):
        del columns["speaker similarity"]
    if all(report.quality is None for report in reports):
        del columns["DNSMOS"]
    if all(report.underruns is None for report in reports):
        del columns["underruns"]
    rows = [[cell(report) for cell in columns.values()] for report in reports]
    table = _table(list(columns), rows)
    lengths = sorted({length for report in reports for length in report.by_length})
    if not lengths:
        return table
    length_rows = [
        (
            report.name,
            *(
                f"{score.errors} / {score.words}" if score else ""
                for score in map(report.by_length.get, lengths)
            ),
        )
        for report in reports
    ]
    return f"{table}\n{_table(('errors by length', *map(str, lengths)), length_rows)}"


def _or_blank(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.2f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write_report(
    reports: Sequence[SystemReport], settings: dict[str, Any], output_dir: Path
) -> None:
    """Write `results.json` (everything) and `results.md` (the tables) into an existing folder."""
    results = {"settings": settings, "systems": {r.name: r.as_dict() for r in reports}}
    text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
    (output_dir / "results.json").write_text(text, encoding="utf-8")
    (output_dir / "results.md").write_text(markdown_tables(reports), encoding="utf-8")
