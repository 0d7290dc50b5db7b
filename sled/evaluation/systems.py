"""The systems that are compared: each speaks every string of a test set once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr
import torch
from lhotse.cut import Cut

from sled.codec import Codec
from sled.generate import DecodingOptions
from sled.layout import Layout
from sled.tts import TTS, Prompt

PROMPT_LENGTHS = (3, 4, 5)  # digits


@dataclass(frozen=True, eq=False)
class Recital:
    """What one system made of the test set, in its order.

    Attributes:
        waveforms: [S] of each string.
        sample_rate: In Hz.
        cut_off: Flags: the model did not stop by itself, it was cut at the length limit.
        synthesis_s: Time that making the speech took; None for recordings.
    """

    waveforms: list[np.ndarray]
    sample_rate: int
    cut_off: list[bool]
    synthesis_s: float | None = None


def text_of(cut: Cut) -> str:
    """Transcript of a cut that holds one utterance."""
    return cut.supervisions[0].text


def load_waveform(cut: Cut, sample_rate: int) -> np.ndarray:
    """Recording [S] of a cut at the given rate in Hz."""
    waveform = cut.load_audio()[0]
    if cut.sampling_rate != sample_rate:
        waveform = soxr.resample(waveform, cut.sampling_rate, sample_rate)
    return waveform


def recite_recordings(cuts: Sequence[Cut]) -> Recital:
    """The recordings themselves: what is left to be heard wrongly is the listener's share."""
    sample_rate = cuts[0].sampling_rate
    waveforms = [load_waveform(cut, sample_rate) for cut in cuts]
    return Recital(waveforms, sample_rate, cut_off=[False] * len(cuts))


@torch.inference_mode()
def recite_codec(cuts: Sequence[Cut], codec: Codec, device: str = "cpu") -> Recital:
    """The recordings through the codec and back: the best that a model over it can do."""
    waveforms = []
    start = time.perf_counter()
    for cut in cuts:
        recording = torch.from_numpy(load_waveform(cut, codec.sample_rate))
        codes = codec.encode([recording.to(device)])[0]
        decoded = codec.decode(codec.codes_to_latents(codes)[None])[0]
        waveforms.append(decoded[: len(recording)].cpu().numpy())
    elapsed = time.perf_counter() - start
    return Recital(waveforms, codec.sample_rate, [False] * len(cuts), elapsed)


def recite_model(
    cuts: Sequence[Cut],
    tts: TTS,
    options: DecodingOptions,
    *,
    layout: Layout | None = None,
    clone: bool = False,
    seed: int = 0,
    batch_size: int = 1,
) -> Recital:
    """A model speaks the transcripts.

    Args:
        cuts: The test set.
        tts: The model.
        options: How to draw frames and when to stop.
        layout: None: as the checkpoint's configuration says.
        clone: Let every utterance continue the recording of another, see `choose_prompts`.
        seed: Of the first utterance, counted up for the others.
        batch_size: Utterances spoken at once; it changes the time taken, not the speech.
    """
    prompts: list[Prompt | None] = [None] * len(cuts)
    if clone:
        prompts = [
            Prompt(text_of(cut), load_waveform(cut, tts.codec.sample_rate))
            for cut in choose_prompts(cuts)
        ]
    speech = []
    start = time.perf_counter()
    for first in range(0, len(cuts), batch_size):
        rows = slice(first, first + batch_size)
        speech += tts.synthesize(
            [text_of(cut) for cut in cuts[rows]],
            prompts=prompts[rows] if clone else None,
            seeds=seed + first,
            options=options,
            layout=layout,
        )
    elapsed = time.perf_counter() - start
    return Recital(
        [one.audio for one in speech],
        tts.codec.sample_rate,
        [not one.stopped for one in speech],
        elapsed,
    )


def choose_prompts(cuts: Sequence[Cut]) -> list[Cut]:
    """For each cut, another one of 3 to 5 digits whose voice it is to continue.

    Raises:
        ValueError: If fewer than two cuts have such a length.
    """
    usable = [cut for cut in cuts if len(text_of(cut).split()) in PROMPT_LENGTHS]
    if len(usable) < 2:
        raise ValueError(
            f"{len(usable)} of {len(cuts)} test utterances have 3 to 5 digits: voice cloning "
            "needs two that can be prompts; take a larger test set"
        )
    chosen = []
    for index, cut in enumerate(cuts):
        prompt = usable[index % len(usable)]
        chosen.append(prompt if prompt.id != cut.id else usable[(index + 1) % len(usable)])
    return chosen
