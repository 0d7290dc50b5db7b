"""The interface of a judge."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr

from sled.evaluation.items import Item


@dataclass(frozen=True, eq=False)
class Heard:
    """An utterance as judges get it.

    Attributes:
        item: What should have been said.
        audio: [S] float32 waveform.
        sample_rate: In Hz.
        joints: Where pieces of audio meet, in samples.
        stopped: Whether the system ended it by itself.
    """

    item: Item
    audio: np.ndarray
    sample_rate: int
    joints: tuple[int, ...] = ()
    stopped: bool = True

    def at(self, sample_rate: int) -> np.ndarray:
        """The waveform [S] at another rate in Hz."""
        if sample_rate == self.sample_rate:
            return self.audio
        resampled: np.ndarray = soxr.resample(self.audio, self.sample_rate, sample_rate)
        return resampled

    @property
    def is_silent(self) -> bool:
        """Whether there is no sound at all."""
        return not np.abs(self.audio).max(initial=0.0)


class Judge(ABC):
    """Writes down figures of utterances.

    Attributes:
        name: Its name in journals and reports.
        version: What its figures depend on: package, weights and settings.
    """

    name: str
    version: str

    @abstractmethod
    def judge(self, heard: Sequence[Heard]) -> list[dict[str, Any]]:
        """Judge some utterances.

        Returns:
            The figures of each, ready for JSON, whose names no other judge uses.
        """
