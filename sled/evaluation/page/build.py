"""Puts results, speech and pictures into one HTML file.

Speech is embedded as MP3, at most a number of utterances of each system, those with the most errors
first. Mel spectrograms are embedded as bytes, one for each picture element; the page draws them.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from sled.evaluation.metrics import METRICS
from sled.evaluation.results import Results

STATIC = Path(__file__).parent / "static"
MAX_EMBEDDED = 200
# Pictures: columns a second, rows from low to high, range in dB.
COLUMNS_HZ, MELS, RANGE_DB, PICTURE_RATE = 40, 32, 70.0, 16_000
MP3_RATE = 24_000
# Figures of single utterances that the page sorts by and counts.
SHOWN = ("similarity", "dnsmos", "utmos", "seconds", "duration_ratio", "words_per_s", "pause_s")


def write_page(results: Results, folder: Path, max_embedded: int = MAX_EMBEDDED) -> Path:
    """Write `index.html` into the folder of a run.

    Args:
        results: The results.
        folder: Holds the speech.
        max_embedded: How many utterances of each system can be heard on the page.
    """
    data = {
        "protocol": results["protocol"],
        "figures": [
            {
                "key": metric.key,
                "label": metric.label.format(unit=results["protocol"]["unit"]),
                "percent": metric.percent,
            }
            for metric in METRICS
        ],
        "systems": {
            name: {
                "figures": system["figures"],
                "by_kind": system["by_kind"],
                "utterances": _utterances(system["utterances"], folder, max_embedded),
            }
            for name, system in results["systems"].items()
        },
        "comparisons": results["comparisons"],
        "picture": {"mels": MELS, "columns_hz": COLUMNS_HZ},
    }
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    # "</" would end the element that holds the data.
    text = json.dumps(data, ensure_ascii=False, allow_nan=False).replace("</", "<\\/")
    for name, content in {
        "title": html.escape(f"{results['protocol']['name']} {results['protocol']['digest']}"),
        "style": (STATIC / "style.css").read_text(encoding="utf-8"),
        "script": (STATIC / "page.js").read_text(encoding="utf-8"),
        "data": text,
    }.items():
        page = page.replace(f"@@{name}@@", content, 1)
    path = folder / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def _utterances(
    utterances: Sequence[dict[str, Any]], folder: Path, max_embedded: int
) -> list[dict[str, Any]]:
    order = sorted(range(len(utterances)), key=lambda index: -_error_rate(utterances[index]))
    embedded = set(order[:max_embedded])
    shown = []
    for index, one in enumerate(utterances):
        kept = ("id", "kind", "repetition", "text", "errors", "words", "pairs", "heard", *SHOWN)
        entry = {key: one[key] for key in kept if one.get(key) is not None}
        entry["flags"] = [name for name in ("early", "late", "clicks") if one.get(name)]
        entry["file"] = one["audio"]
        if index in embedded:
            entry |= _heard_and_seen(folder / one["audio"])
        shown.append(entry)
    return shown


def _heard_and_seen(path: Path) -> dict[str, str]:
    """The speech and the picture of an utterance in base64; "" for one without a file."""
    if not path.is_file():
        return {"audio": "", "picture": ""}
    audio, rate = soundfile.read(path, dtype="float32")
    parts = {"audio": _mp3(audio, rate), "picture": mel_picture(audio, rate).tobytes()}
    return {name: base64.b64encode(content).decode() for name, content in parts.items()}


def _error_rate(utterance: dict[str, Any]) -> float:
    rate: float = utterance["errors"] / max(1, utterance["words"])
    return rate


def _mp3(audio: np.ndarray, rate: int) -> bytes:
    if rate != MP3_RATE:
        audio = soxr.resample(audio, rate, MP3_RATE)
    file = io.BytesIO()
    soundfile.write(file, audio, MP3_RATE, format="MP3", subtype="MPEG_LAYER_III")
    return file.getvalue()


def mel_picture(audio: np.ndarray, rate: int) -> np.ndarray:
    """A mel spectrogram as bytes [columns, MELS]: 255 is the loudest, 0 is quieter by RANGE_DB.

    Args:
        audio: [S] waveform.
        rate: In Hz.
    """
    if rate != PICTURE_RATE:
        audio = soxr.resample(audio, rate, PICTURE_RATE)
    hop, size = PICTURE_RATE // COLUMNS_HZ, 1024
    columns = len(audio) // hop
    if not columns:
        return np.zeros((0, MELS), np.uint8)
    padded = np.pad(audio, (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][:columns]
    power = np.abs(np.fft.rfft(frames * np.hanning(size))) ** 2
    level = 10 * np.log10(power @ _mel_weights(size) + 1e-10)
    scaled = np.clip((level - level.max()) / RANGE_DB + 1, 0, 1)
    picture: np.ndarray = np.round(255 * scaled).astype(np.uint8)
    return picture


def _mel_weights(size: int) -> np.ndarray:
    """[size // 2 + 1, MELS] triangles, evenly spaced on the mel scale."""
    top = 2595 * np.log10(1 + PICTURE_RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1)
    bins = np.linspace(0, PICTURE_RATE / 2, size // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights: np.ndarray = np.maximum(0, np.minimum(rising, falling))
    return weights
