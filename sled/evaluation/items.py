"""The items of a test set: a text to be said, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import soxr
from lhotse.cut import Cut

from sled.data.synthetic.digits import DIGIT_WORDS
from sled.files.audio import read_audio

Loader = Callable[[int], np.ndarray]
"""Returns a recording [S] at a sample rate in Hz."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A recording that is read when it is needed.

    Attributes:
        name: Names the recording, the same on every machine.
        load: Reads it.
        text: Its transcript.
        duration_s: Its duration. None: not known before it is read.
    """

    name: str
    load: Loader
    text: str
    duration_s: float | None = None


@dataclass(frozen=True, eq=False)
class Item:
    """One text of a test set.

    Attributes:
        id: Unique in the test set; also the name of audio files, and may contain slashes.
        text: What a system reads.
        said: Correct readings of it in words, if it may be read in other words than it is written.
        kind: The class of the item, for tables by class; "" without classes.
        speaker: Who speaks in the recording.
        recording: The text read by a person.
        prompt: A recording to be continued in its voice.
        continues: Whether `prompt` is the beginning of the item's own recording. Its words are
            then counted too, together with the speech that continues it.
    """

    id: str
    text: str
    said: tuple[str, ...] = ()
    kind: str = ""
    speaker: str | None = None
    recording: Clip | None = None
    prompt: Clip | None = None
    continues: bool = False

    @property
    def references(self) -> tuple[str, ...]:
        """What should be heard: one of these."""
        readings = self.said or (self.text,)
        if self.continues and self.prompt is not None:
            readings = tuple(f"{self.prompt.text} {one}" for one in readings)
        return readings


def read_clip(path: Path, start_s: float, duration_s: float | None, sample_rate: int) -> np.ndarray:
    """Read a part of an audio file as [S] at a rate in Hz.

    Raises:
        ValueError: If the file cannot be read, or is silent.
    """
    waveform: np.ndarray = read_audio(path, sample_rate).numpy()
    first = round(start_s * sample_rate)
    last = len(waveform) if duration_s is None else first + round(duration_s * sample_rate)
    return waveform[first:last]


def file_clip(
    path: Path, text: str, duration_s: float | None = None, name: str | None = None
) -> Clip:
    """A clip that is a whole audio file."""
    return Clip(name or path.stem, partial(read_clip, path, 0.0, None), text, duration_s)


def load_cut(cut: Cut, sample_rate: int) -> np.ndarray:
    """Read the recording of a cut as [S] at a rate in Hz."""
    waveform: np.ndarray = cut.load_audio()[0]
    if cut.sampling_rate != sample_rate:
        waveform = soxr.resample(waveform, cut.sampling_rate, sample_rate)
    return waveform


def item_of_cut(cut: Cut) -> Item:
    """The item of a cut that holds one utterance; a string of digits has its length as class."""
    said = cut.supervisions[0]
    words = said.text.split()
    digits = bool(words) and all(word in DIGIT_WORDS for word in words)
    kind = f"{len(words)} digit{'s' * (len(words) > 1)}" if digits else ""
    recording = Clip(cut.id, partial(load_cut, cut), said.text, cut.duration)
    return Item(cut.id, said.text, kind=kind, speaker=said.speaker, recording=recording)


def with_beginning_as_prompt(item: Item, prompt_s: float) -> Item | None:
    """An item that continues its own recording after some seconds.

    The words are divided in proportion to the time. An offline model reads all of them as one text,
    so that it does not matter where exactly.

    Args:
        item: An item with a recording.
        prompt_s: Length of the prompt in seconds.

    Returns:
        The item; None if its recording is not longer than the prompt, or has too few words.
    """
    recording = item.recording
    if recording is None:
        return None
    load = recording.load
    duration_s = recording.duration_s
    if duration_s is None:
        rate = 16_000
        duration_s = len(load(rate)) / rate
    words = item.text.split()
    count = round(len(words) * prompt_s / duration_s)
    if duration_s <= prompt_s or not 0 < count < len(words):
        return None

    def beginning(sample_rate: int) -> np.ndarray:
        return load(sample_rate)[: round(prompt_s * sample_rate)]

    prompt = Clip(f"{recording.name}[:{prompt_s:g}]", beginning, " ".join(words[:count]), prompt_s)
    return replace(item, text=" ".join(words[count:]), said=(), prompt=prompt, continues=True)


# Words of a prompt; the upper limit is the median of the test set if that is larger.
PROMPT_MIN_WORDS, PROMPT_MAX_WORDS = 3, 5


def choose_prompts(items: Sequence[Item], max_prompt_s: float | None = None) -> list[Clip]:
    """Choose the recording of another item as prompt of each item, neither too short nor too long.

    Args:
        items: The test set.
        max_prompt_s: Longest prompt of the model in seconds. None: no limit.

    Raises:
        ValueError: If fewer than two items have recordings of such a length.
    """
    limit_s = float("inf") if max_prompt_s is None else max_prompt_s
    longest = max(PROMPT_MAX_WORDS, float(np.median([len(item.text.split()) for item in items])))
    usable = [
        item
        for item in items
        if item.recording is not None
        and PROMPT_MIN_WORDS <= len(item.text.split()) <= longest
        and (item.recording.duration_s or 0.0) <= limit_s
    ]
    if len(usable) < 2:
        within = "" if max_prompt_s is None else f" in at most {max_prompt_s:.1f} s"
        raise ValueError(
            f"{len(usable)} of {len(items)} test utterances have {PROMPT_MIN_WORDS} to {longest:g} "
            f"words{within}: voice cloning needs two that can be prompts; take a larger test set"
        )
    chosen = []
    for index, item in enumerate(items):
        # Of the same speaker, whose other recordings similarity is measured against.
        own = [one for one in usable if one.speaker == item.speaker]
        own = own if any(one.id != item.id for one in own) else usable
        prompt = own[index % len(own)]
        prompt = prompt if prompt.id != item.id else own[(index + 1) % len(own)]
        assert prompt.recording is not None
        chosen.append(prompt.recording)
    return chosen
