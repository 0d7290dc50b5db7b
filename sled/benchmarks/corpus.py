"""Synthetic corpora with the durations, sizes and formats of real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from torch import Tensor
from typing_extensions import override

from sled.codec import EncodecCodec
from sled.codec.encodec.config import EncodecConfig
from sled.codec.encodec.initialize import new_encodec
from sled.data.cache.codes import cache_codes
from sled.data.manifests import load_cuts, save_cuts
from sled.files.audio import write_audio

# Durations of Libriheavy's cuts, and the speaking rate of English.
SHORTEST_S, LONGEST_S = 2.0, 30.0
WORDS_PER_SECOND = 2.7
# As in Libriheavy, cuts are parts of long recordings.
RECORDING_S = 300.0


class DrawnCodes(EncodecCodec):
    """A codec whose codes are drawn at random instead of computed."""

    def __init__(self) -> None:
        super().__init__(new_encodec(EncodecConfig(num_filters=2)))  # a network for form's sake
        self._generator = torch.Generator().manual_seed(0)

    @override
    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        return [
            torch.randint(
                self.codebook_size,
                (self.num_codebooks, self.num_frames(len(waveform))),
                generator=self._generator,
            )
            for waveform in waveforms
        ]


def draw_durations(count: int, longest_s: float = LONGEST_S, seed: int = 0) -> list[float]:
    """Draw durations in s, distributed like Libriheavy's: 2 to 30, mostly between 8 and 20.

    Args:
        count: Number of durations.
        longest_s: Scales all of them; the longest duration, instead of 30.
        seed: Seed of the draws.
    """
    share = np.random.default_rng(seed).beta(2.0, 2.5, count)
    durations = (SHORTEST_S + (LONGEST_S - SHORTEST_S) * share) * longest_s / LONGEST_S
    rounded: list[float] = durations.round(2).tolist()  # whole samples at any rate
    return rounded


def make_cuts(
    durations_s: Sequence[float], recording: Recording | None = None, seed: int = 0
) -> CutSet:
    """Make a cut of each duration, with a text of about the length that is spoken in that time.

    Args:
        durations_s: Durations of the cuts.
        recording: Recording of which the cuts are random parts. None: without audio.
        seed: Seed of the texts and of the parts.
    """
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlu"))
    words = np.array(["".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(1000)])
    cuts = []
    for number, duration in enumerate(durations_s):
        num_words = max(1, round(duration * WORDS_PER_SECOND * rng.uniform(0.8, 1.2)))
        text = " ".join(rng.choice(words, num_words))
        name = f"cut-{number:06d}"
        spoken = SupervisionSegment(name, "noise", 0.0, duration, text=text)
        last_start_s = 0.0 if recording is None else recording.duration - duration
        start_s = round(rng.uniform(0.0, last_start_s), 2)
        cuts.append(MonoCut(name, start_s, duration, 0, [spoken], recording=recording))
    return CutSet.from_cuts(cuts)


def write_audio_corpus(
    folder: Path, durations_s: Sequence[float], sample_rate: int, suffix: str
) -> Path:
    """Write cuts of quiet noise.

    Args:
        folder: Folder for the recording and the manifest.
        durations_s: Durations of the cuts.
        sample_rate: Sample rate of the recording, in Hz.
        suffix: Suffix of the recording, such as ".flac"; it decides the format.

    Returns:
        Path of the manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"noise{suffix}"
    noise = np.random.default_rng(0).normal(0, 0.01, round(RECORDING_S * sample_rate))
    write_audio(file, noise, sample_rate)
    manifest = folder / "cuts.jsonl.gz"
    save_cuts(make_cuts(durations_s, Recording.from_file(file)), manifest)
    return manifest


def write_cached_corpus(folder: Path, durations_s: Sequence[float]) -> Path:
    """Write a folder of cached codes as `sled.data.cache.codes` does, and return it."""
    codec = DrawnCodes()
    with TemporaryDirectory() as scratch:
        # At the codec's rate and uncompressed, so that reading it is fast.
        audio = write_audio_corpus(Path(scratch), durations_s, codec.sample_rate, ".wav")
        cache_codes(load_cuts(audio), codec, folder)
    return folder
