"""Recordings of a person that become a part of a synthetic corpus."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from sled.data.corpora.checks import END_TOLERANCE_S
from sled.data.corpora.items import Rejected, Utterance
from sled.data.corpora.jsonl import read_jsonl
from sled.data.synthetic.teachers import SAMPLE_RATE
from sled.files.audio import read_audio


def read_recordings(manifest: Path | None) -> dict[str, Utterance]:
    """Read recordings by the ids of their readings, which name files.

    Args:
        manifest: JSON lines. None: there are no recordings.

    Raises:
        ValueError: If a line is malformed, or two have the same id.
    """
    recordings: dict[str, Utterance] = {}
    for item in read_jsonl([manifest] if manifest else []):
        if isinstance(item, Rejected):
            raise item.to_error()
        name = item.id.replace("/", "-")
        if name in recordings:
            raise ValueError(f"{manifest} has two recordings {item.id}: give each an id of its own")
        recordings[name] = item
    return recordings


def part_of(recording: Utterance) -> np.ndarray:
    """The waveform [S] of an utterance at SAMPLE_RATE: the part of its file that its times tell.

    Raises:
        ValueError: If the file cannot be read, or ends before the part does.
    """
    whole = _read(recording.audio)
    start_s, rest_s = recording.start_s, len(whole) / SAMPLE_RATE - recording.start_s
    duration_s = rest_s if recording.duration_s is None else recording.duration_s
    # Negated as a whole, so that NaN fails too.
    if not (start_s >= 0 and rest_s > 0 and 0 < duration_s <= rest_s + END_TOLERANCE_S):
        raise ValueError(
            f"{recording.id} is from {start_s:g} s for {duration_s:g} s in a recording of "
            f"{len(whole) / SAMPLE_RATE:g} s, {recording.audio}: correct its start and duration"
        )
    first = round(start_s * SAMPLE_RATE)
    return whole[first : first + round(duration_s * SAMPLE_RATE)]


@lru_cache(maxsize=1)  # neighbours are often parts of one file
def _read(path: Path) -> np.ndarray:
    waveform: np.ndarray = read_audio(path, SAMPLE_RATE).numpy()
    return waveform
