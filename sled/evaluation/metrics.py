"""The figures of a report: what each counts in an utterance, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sled.evaluation.items import Item
from sled.evaluation.words import Alignment


@dataclass(frozen=True, eq=False)
class Row:
    """An utterance with all that is known of it.

    Attributes:
        item: What should have been said.
        repetition: Number of the repetition.
        spoken: The record of `Run.spoken`.
        judged: The figures of all judges.
        alignment: The words of the text beside those heard.
    """

    item: Item
    repetition: int
    spoken: dict[str, Any]
    judged: dict[str, Any]
    alignment: Alignment


Count = tuple[float, float]
"""What an utterance adds to the sum above and the sum below the line of a figure."""


@dataclass(frozen=True)
class Metric:
    """A figure: a sum over all utterances divided by another.

    Attributes:
        key: Its name in results.json.
        label: Its name in tables; {unit} is replaced by "word" or "digit".
        of: What an utterance adds. None: the figure is not known of it.
        percent: Whether it is written as a percentage.
        lower_is_better: False: higher is better. None: neither is.
        compared: Whether systems are compared by it.
    """

    key: str
    label: str
    of: Callable[[Row], Count | None]
    percent: bool = False
    lower_is_better: bool | None = None
    compared: bool = False

    def write(self, value: float) -> str:
        """The figure as in tables."""
        return f"{value:.1%}" if self.percent else f"{value:.2f}"


def _mean(part: str, key: str) -> Callable[[Row], Count | None]:
    """The mean of a value that `Row.judged` or `Row.spoken` has of an utterance."""

    def of(row: Row) -> Count | None:
        value = getattr(row, part).get(key)
        return None if value is None else (float(value), 1.0)

    return of


def _real_time(row: Row) -> Count | None:
    seconds, synthesis_s = row.judged.get("seconds"), row.spoken.get("synthesis_s")
    return None if synthesis_s is None or not seconds else (synthesis_s, seconds)


def _clicks(row: Row) -> Count | None:
    joints = row.judged.get("joints")
    return (row.judged["clicks"], joints) if joints else None


METRICS = (
    Metric(
        "error_rate",
        "{unit} error rate",
        lambda row: (row.alignment.errors, row.alignment.words),
        percent=True,
        lower_is_better=True,
        compared=True,
    ),
    Metric(
        "error_rate_macro",
        "mean of texts",
        lambda row: (row.alignment.errors / max(1, row.alignment.words), 1.0),
        percent=True,
        lower_is_better=True,
    ),
    Metric(
        "substitutions",
        "other",
        lambda row: (row.alignment.substitutions, row.alignment.words),
        percent=True,
        lower_is_better=True,
    ),
    Metric(
        "deletions",
        "missing",
        lambda row: (row.alignment.deletions, row.alignment.words),
        percent=True,
        lower_is_better=True,
    ),
    Metric(
        "insertions",
        "added",
        lambda row: (row.alignment.insertions, row.alignment.words),
        percent=True,
        lower_is_better=True,
    ),
    Metric(
        "exact_rate",
        "texts without error",
        lambda row: (float(not row.alignment.errors), 1.0),
        percent=True,
        lower_is_better=False,
    ),
    Metric(
        "speaker_similarity",
        "speaker similarity",
        _mean("judged", "similarity"),
        lower_is_better=False,
        compared=True,
    ),
    Metric(
        "speaker_similarity_codec",
        "similarity to the codec",
        _mean("judged", "similarity_codec"),
        lower_is_better=False,
    ),
    Metric("dnsmos", "DNSMOS", _mean("judged", "dnsmos"), lower_is_better=False, compared=True),
    Metric("utmos", "UTMOS", _mean("judged", "utmos"), lower_is_better=False, compared=True),
    Metric("duration_ratio", "length vs. recording", _mean("judged", "duration_ratio")),
    Metric("words_per_s", "words a second", _mean("judged", "words_per_s")),
    Metric("pause_s", "pauses (s)", _mean("judged", "pause_s")),
    Metric("tail_s", "silence at the end (s)", _mean("judged", "tail_s")),
    Metric("early", "stopped early", _mean("judged", "early"), percent=True, lower_is_better=True),
    Metric("late", "stopped late", _mean("judged", "late"), percent=True, lower_is_better=True),
    Metric("real_time_factor", "real-time factor", _real_time, lower_is_better=True),
    Metric(
        "first_audio_s", "first audio (s)", _mean("spoken", "first_audio_s"), lower_is_better=True
    ),
    Metric("underruns", "stalls a text", _mean("spoken", "stalls"), lower_is_better=True),
    Metric("clicks", "clicks at joints", _clicks, percent=True, lower_is_better=True),
)


def counts_of(
    metric: Metric, rows: Sequence[Row], ids: Sequence[str]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the sums [I] above and below the line of each item, over its repetitions.

    Args:
        metric: The figure.
        rows: Utterances of one system.
        ids: The I items to count, in order.

    Returns:
        None if the figure is known of no utterance.
    """
    index_of = {item_id: index for index, item_id in enumerate(ids)}
    above, below = np.zeros(len(ids)), np.zeros(len(ids))
    for row in rows:
        count = metric.of(row)
        if count is not None and row.item.id in index_of:
            above[index_of[row.item.id]] += count[0]
            below[index_of[row.item.id]] += count[1]
    return (above, below) if below.sum() > 0 else None
