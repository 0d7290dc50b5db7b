"""Recordings to be continued: read, brought to the level of the training data, and checked.

A model continues a recording well only if it sounds as the speech that the model was trained on:
as loud, without a constant offset, and with as much silence around it. The codec carries all of
these into the units.

Shapes: S samples.
"""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import Tensor

from sled.files.audio import AudioSource, check_full_scale, read_audio, read_samples
from sled.files.speech_level import SpeechLevel, find_speech, with_level, without_offset
from sled.model.config import Config, Speaking
from sled.text.tokenizer import TextTokenizer

Audio = AudioSource | np.ndarray | Tensor | list[float]
"""A recording: a path, the bytes of a file, an open file, or samples."""

# For checkpoints that do not say: the median of 100 recordings of LibriSpeech, which has the same
# source as the published models' training data. The silence is between its median and its mean.
USUAL_LEVEL = SpeechLevel(level_db=-25.0, lead_s=0.1, tail_s=0.15)
# Shorter ones are a noise or a click.
MIN_SPEECH_S = 0.2
# Frames per token of a recording may exceed those of the training data by these factors. Speakers
# are often slower than those, but hardly any are much faster.
FASTER, SLOWER = 1.5, 2.0
# Characters per second, for checkpoints that do not tell their frames per token.
FEWEST_CHARACTERS, MOST_CHARACTERS = 2.0, 35.0


def level_of(speaking: Speaking) -> SpeechLevel:
    """Level and silence of the speech that a model was trained on."""
    if speaking.speech_level_db is None:
        return USUAL_LEVEL
    return SpeechLevel(speaking.speech_level_db, speaking.lead_s, speaking.tail_s)


def read_recording(
    audio: Audio, sample_rate: int | None, wanted_rate: int, level: SpeechLevel | None
) -> Tensor:
    """A recording as a model is to continue it.

    Args:
        audio: The recording.
        sample_rate: The rate of samples in memory, in Hz. None: `wanted_rate`.
        wanted_rate: The codec's sample rate.
        level: What it is brought to. None: it is left as it is.

    Returns:
        Waveform [S] float32.

    Raises:
        ValueError: If there is no speech in it, or it cannot be read.
    """
    name = str(audio) if isinstance(audio, str | os.PathLike) else "the recording"
    if not isinstance(audio, np.ndarray | Tensor | list):
        if sample_rate is not None:
            raise ValueError(f"{name} knows its sample rate: give one for samples only")
        waveform = read_audio(audio, wanted_rate)
    else:
        rate = wanted_rate if sample_rate is None else sample_rate
        samples = np.asarray(audio) if isinstance(audio, list) else audio
        waveform = read_samples(samples, rate, wanted_rate, name)
    if level is None:
        check_full_scale(waveform.numpy(), name)
        return waveform
    centred = without_offset(waveform.numpy())
    speech = find_speech(centred, wanted_rate)
    seconds = 0.0 if speech is None else (speech[1] - speech[0]) / wanted_rate
    if seconds < MIN_SPEECH_S:
        raise ValueError(
            f"{name} has {seconds:.2f} s of speech, which is too short: record a sentence"
        )
    return torch.from_numpy(with_level(centred, wanted_rate, level))


def check_transcript(
    transcript: str, waveform: Tensor, sample_rate: int, tokenizer: TextTokenizer, config: Config
) -> None:
    """Check that a text can be the transcript of a recording.

    Args:
        transcript: The text, as it was written.
        waveform: The recording [S].
        sample_rate: In Hz.
        tokenizer: Tokenizer of the model.
        config: The model's configuration.

    Raises:
        ValueError: If it is too long or too short for it.
    """
    speaking, rate = config.speaking, config.architecture.frame_rate
    low, high = speaking.min_frames_per_token, speaking.max_frames_per_token
    start, end = find_speech(waveform.numpy(), sample_rate) or (0, 0)
    level = level_of(speaking)
    seconds = level.lead_s + (end - start) / sample_rate + level.tail_s  # as in training
    if low is None or high is None:
        num_characters = len(tokenizer.normalize(transcript))
        fewest, most = (num_characters / speed for speed in (MOST_CHARACTERS, FEWEST_CHARACTERS))
    else:
        num_tokens = len(tokenizer.encode(transcript))
        fewest, most = num_tokens * low / FASTER / rate, num_tokens * high * SLOWER / rate
    if not fewest <= seconds <= most:
        shown = transcript if len(transcript) <= 40 else f"{transcript[:40]}..."
        raise ValueError(
            f'the transcript does not fit the recording: to say "{shown}" '
            f"({len(transcript)} characters) takes {fewest:.1f} to {most:.1f} s, and the "
            f"recording lasts {seconds:.1f} s; give "
            "exactly the words spoken in it"
        )
