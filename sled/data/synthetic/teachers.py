"""Teachers: text-to-speech voices that synthesise training data, and cleaning of their audio."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sled.files.extras import install_command

SAMPLE_RATE = 24_000

LEADING_SILENCE_S = 0.10
TRAILING_SILENCE_S = 0.15
# Speech begins and ends at this level, relative to the loudest 10 ms of the clip.
SPEECH_THRESHOLD_DB = -40.0
# RMS of speech without silence, -25 dBFS: the average of hibari, so its raw clips can be prompts.
SPEECH_RMS = 0.055

# Longest pause between joined readings, in addition to the silence around both.
MAX_PAUSE_S = 0.3

Teacher = Callable[[str, int], np.ndarray]
"""Reads a text with a seed: waveform [S], float32 at 24 kHz."""


def load_hibari() -> Teacher:
    """The hibari-tts voice: American English, female; audio is a function of text and seed."""
    from hibari import Hibari

    voice = Hibari()
    return lambda text, seed: voice(text, seed=seed)


def load_kokoro(model: Path, voices: Path) -> dict[str, Teacher]:
    """The English voices of Kokoro-82M by name; they ignore seeds.

    Args:
        model: ONNX file.
        voices: NumPy archive of their style vectors.

    Raises:
        ValueError: If kokoro-onnx is not installed, or the files cannot be read.
    """
    try:
        from kokoro_onnx import Kokoro
    except ImportError as error:
        raise ValueError(
            f"Kokoro voices need kokoro-onnx: run {install_command('kokoro')}"
        ) from error
    try:
        kokoro = Kokoro(str(model), str(voices))
    except Exception as error:  # onnxruntime raises its own types
        raise ValueError(
            f"cannot open {model} with {voices} ({error}): name the model files of kokoro-onnx"
        ) from error

    def teacher(name: str) -> Teacher:
        accent = {"a": "en-us", "b": "en-gb"}[name[0]]
        return lambda text, seed: kokoro.create(text, voice=name, lang=accent)[0]

    return {name: teacher(name) for name in kokoro.get_voices() if name[0] in "ab"}


def tidy(waveform: np.ndarray) -> np.ndarray:
    """Give a clip [S] fixed margins of near silence and a fixed loudness.

    Raises:
        ValueError: If the clip is silent.
    """
    hop = SAMPLE_RATE // 100
    frames = waveform[: len(waveform) // hop * hop].reshape(-1, hop)
    level = np.sqrt(np.mean(frames**2, axis=1))
    if len(level) == 0 or level.max() <= 0:
        raise ValueError("the teacher gave a silent clip: check its installation")
    voiced = np.flatnonzero(level > level.max() * 10 ** (SPEECH_THRESHOLD_DB / 20))
    start, end = int(voiced[0]) * hop, (int(voiced[-1]) + 1) * hop
    gain = SPEECH_RMS / np.sqrt(np.mean(waveform[start:end] ** 2))
    first = start - round(LEADING_SILENCE_S * SAMPLE_RATE)
    last = end + round(TRAILING_SILENCE_S * SAMPLE_RATE)
    padding = (max(0, -first), max(0, last - len(waveform)))
    return np.pad(waveform[max(0, first) : last] * gain, padding).astype(np.float32)


def read_aloud(parts: Sequence[str], teacher: Teacher, seed: int) -> np.ndarray:
    """Waveform [S] of texts read in sequence, with random pauses between them."""
    rng = random.Random(seed)
    pieces: list[np.ndarray] = []
    for part in parts:
        if pieces:
            pause_s = rng.uniform(0.0, MAX_PAUSE_S)
            pieces.append(np.zeros(round(pause_s * SAMPLE_RATE), np.float32))
        pieces.append(tidy(teacher(part, seed)))
    return np.concatenate(pieces)
