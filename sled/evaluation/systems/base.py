"""The interface of what speaks a test set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sled.evaluation.items import Item


@dataclass(frozen=True, eq=False)
class Utterance:
    """The speech of one item.

    Attributes:
        audio: [S] float32 waveform.
        sample_rate: In Hz.
        stopped: False if it was cut at a length limit.
        synthesis_s: How long it took to make. None: it was not made.
        first_audio_s: When its first audio was there, after its first text. None: not streamed.
        stalls: How often a player that starts with the first audio had to wait. None: not streamed.
        joints: Where pieces of audio meet, in samples.
    """

    audio: np.ndarray
    sample_rate: int
    stopped: bool = True
    synthesis_s: float | None = None
    first_audio_s: float | None = None
    stalls: int | None = None
    joints: tuple[int, ...] = ()


class System(ABC):
    """Speaks items.

    Attributes:
        name: Its name in reports; also a folder's name.
        uses_seed: Whether another seed gives other speech.
        max_batch: The most items that it can speak at once. None: any number.
    """

    name: str
    uses_seed: bool = True
    max_batch: int | None = None

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What its speech depends on, for the report, ready for JSON.

        A run goes on where it was only with the same settings.
        """

    @abstractmethod
    def speak(self, items: Sequence[Item], seeds: Sequence[int]) -> list[Utterance]:
        """Speak some items, each with its seed.

        The speech of an item may depend on the other items only by rounding.

        Raises:
            ValueError: If an item cannot be spoken.
        """
