"""Recordings, and recordings after a codec: what the figures of models are bounded by."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from sled.codec import Codec
from sled.evaluation.items import Clip, Item
from sled.evaluation.systems.base import System, Utterance

RECORDING_RATE = 24_000


def recording_of(item: Item) -> Clip:
    """The recording of an item; without its beginning, if that is the item's prompt.

    Raises:
        ValueError: If there is none.
    """
    if item.recording is None:
        raise ValueError(
            f"item {item.id} has no recording: leave out the modes teacher, codec and clone"
        )
    clip, prompt = item.recording, item.prompt
    if not item.continues or prompt is None or prompt.duration_s is None:
        return clip
    prompt_s = prompt.duration_s

    def rest(sample_rate: int) -> np.ndarray:
        return clip.load(sample_rate)[round(prompt_s * sample_rate) :]

    return Clip(clip.name, rest, item.text, (clip.duration_s or prompt_s) - prompt_s)


class Recordings(System):
    """The recordings themselves; their errors are those of the judges."""

    name = "teacher"
    uses_seed = False

    @override
    def settings(self) -> dict[str, Any]:
        return {}

    @override
    def speak(self, items: Sequence[Item], seeds: Sequence[int]) -> list[Utterance]:
        return [
            Utterance(recording_of(item).load(RECORDING_RATE), RECORDING_RATE) for item in items
        ]


class CodecSystem(System):
    """The recordings, encoded and decoded: the best that a model with this codec can sound.

    Args:
        load: Loads the codec when it is first needed.
        described: What identifies it.
        device: Its device.
    """

    name = "codec"
    uses_seed = False

    def __init__(
        self, load: Callable[[], Codec], described: dict[str, Any], device: str = "cpu"
    ) -> None:
        self._load, self._described, self._device = load, described, device

    @override
    def settings(self) -> dict[str, Any]:
        return self._described

    @override
    def speak(self, items: Sequence[Item], seeds: Sequence[int]) -> list[Utterance]:
        return [self.reconstruct(recording_of(item)) for item in items]

    @torch.inference_mode()
    def reconstruct(self, clip: Clip) -> Utterance:
        """Encode and decode a recording."""
        codec = self._load()
        recording = torch.from_numpy(clip.load(codec.sample_rate))
        start = time.perf_counter()
        codes = codec.encode([recording.to(self._device)])[0]
        decoded = codec.decode(codec.codes_to_units(codes)[None])[0]
        audio = decoded[: len(recording)].float().cpu().numpy()
        return Utterance(audio, codec.sample_rate, synthesis_s=time.perf_counter() - start)
