"""Options of preparing a corpus: how it is checked and split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

# Formats that libsndfile reads. Lhotse reads some others (.sph) through a shell, which must never
# see a file name from a corpus.
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")

HELD_OUT_SPLIT = "valid"
ON_BAD = ("skip", "stop")


def spellings(suffixes: Iterable[str]) -> Iterator[str]:
    """Suffixes in the letters of different systems: `.wav`, `.WAV` and `.Wav`."""
    for suffix in suffixes:
        lower = suffix.lower()
        yield from (lower, lower.upper(), lower.title())


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a plausible utterance.

    Attributes:
        min_duration_s: Shortest duration.
        max_duration_s: Longest duration.
        min_chars_per_s: Fewest characters of text, without spaces, per second of audio. Mandarin
            has 4 to 6 and English about 12; the defaults suit both.
        max_chars_per_s: Most characters per second.
        decode_audio: Decode all audio, which shows silence and damage, instead of reading only file
            headers.
    """

    min_duration_s: float = 0.3
    max_duration_s: float = 40.0
    min_chars_per_s: float = 0.5
    max_chars_per_s: float = 30.0
    decode_audio: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for limits that no utterance can meet."""
        if not 0 <= self.min_duration_s < self.max_duration_s:
            raise ValueError(
                f"no duration is from {self.min_duration_s:g} to {self.max_duration_s:g} s: "
                "set --min_duration below --max_duration"
            )
        if not 0 <= self.min_chars_per_s < self.max_chars_per_s:
            raise ValueError(
                f"no rate is from {self.min_chars_per_s:g} to {self.max_chars_per_s:g} characters "
                "a second: set --min_chars_per_s below --max_chars_per_s"
            )


@dataclass(frozen=True, kw_only=True)
class CorpusOptions:
    """How a corpus is checked and split.

    Attributes:
        split: Name of the manifest, such as train or test.
        valid_share: Share of all sentences to hold out as the split "valid".
        valid_count: Number of utterances to hold out instead; slightly more if the last sentence
            occurs several times.
        seed: Decides which sentences are held out.
        on_bad: "skip" reports bad items and leaves them out, "stop" ends at the first one.
        limits: Limits of a plausible utterance.
        remedy: What to do if a split would be empty; the end of the message.
    """

    split: str = "train"
    valid_share: float = 0.0
    valid_count: int = 0
    seed: int = 0
    on_bad: str = "skip"
    limits: Limits = field(default_factory=Limits)
    remedy: str = "change --valid_share or --valid_count"

    def __post_init__(self) -> None:
        """Raise ValueError for options that contradict each other."""
        if not re.fullmatch(r"[\w-]+", self.split):
            raise ValueError(f"--split {self.split!r}: name it with letters, digits, - and _")
        if not 0 <= self.valid_share < 1:
            raise ValueError(f"--valid_share {self.valid_share:g}: hold out 0 or more, under 1")
        if self.valid_count < 0:
            raise ValueError(f"--valid_count {self.valid_count} is below 0: use 0 for none")
        if self.valid_share and self.valid_count:
            raise ValueError("--valid_share and --valid_count exclude each other: give one")
        if self.holds_out and self.split == HELD_OUT_SPLIT:
            raise ValueError(f"--split {self.split} is the held-out split's name: choose another")
        if self.on_bad not in ON_BAD:
            raise ValueError(f"--on_bad {self.on_bad}: choose {' or '.join(ON_BAD)}")

    @property
    def holds_out(self) -> bool:
        """Whether sentences are held out."""
        return self.valid_share > 0 or self.valid_count > 0

    @property
    def splits(self) -> list[str]:
        """Names of all splits."""
        return [self.split, *([HELD_OUT_SPLIT] if self.holds_out else [])]
