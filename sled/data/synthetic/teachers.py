"""Teachers: text-to-speech voices that synthesise training data, and cleaning of their audio."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soxr

from sled.files.extras import install_command
from sled.files.speech_level import SpeechLevel, with_level

SAMPLE_RATE = 24_000

# RMS of speech without silence: the average of hibari.
SPEECH_RMS = 0.055
CLIP_LEVEL = SpeechLevel(level_db=20 * math.log10(SPEECH_RMS), lead_s=0.10, tail_s=0.15)

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


def load_piper(model: Path) -> Teacher:
    """A voice of Piper with one speaker; it ignores seeds, and no two readings are the same.

    Args:
        model: ONNX file, with its settings beside it (`<model>.json`).

    Raises:
        ValueError: If piper-tts is not installed, or the files cannot be read.
    """
    try:
        from piper import PiperVoice
    except ImportError as error:
        raise ValueError(f"Piper voices need piper-tts: run {install_command('piper')}") from error
    try:
        voice = PiperVoice.load(model)
    except Exception as error:  # onnxruntime raises its own types
        raise ValueError(
            f"cannot open {model} ({error}): name a voice's ONNX file that has its .onnx.json "
            "beside it"
        ) from error

    def read(text: str, seed: int) -> np.ndarray:
        pieces = list(voice.synthesize(text))
        waveform = np.concatenate([piece.audio_float_array for piece in pieces])
        resampled: np.ndarray = soxr.resample(waveform, pieces[0].sample_rate, SAMPLE_RATE)
        return resampled

    return read


def tidy(waveform: np.ndarray) -> np.ndarray:
    """Give a clip [S] fixed margins of near silence and a fixed loudness.

    Raises:
        ValueError: If the clip is silent.
    """
    try:
        return with_level(waveform, SAMPLE_RATE, CLIP_LEVEL)
    except ValueError as error:
        raise ValueError("the teacher gave a silent clip: check its installation") from error


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
