"""The systems that are compared; each of them speaks every utterance of a test set."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr
import torch
from lhotse.cut import Cut

from sled.codec import Codec, load_codec
from sled.decoding import DecodingOptions
from sled.files.audio import write_audio
from sled.model.layout import Layout
from sled.simulation.client import converse
from sled.simulation.pacing import release, schedule
from sled.streaming.voice import Prompt
from sled.tts import TTS

# Words of a prompt; the upper limit is the median of the test set if that is larger.
PROMPT_MIN_WORDS, PROMPT_MAX_WORDS = 3, 5


@dataclass(frozen=True, eq=False)
class Synthesis:
    """The speech of one system, in the order of the test set.

    Attributes:
        waveforms: A waveform [S] for each utterance.
        sample_rate: In Hz.
        cut_off: True for each utterance that was cut at the length limit.
        synthesis_s: Duration of the synthesis; None for recordings.
        underruns: Total number of stalls of a player that starts with the first audio; None if
            the speech was not streamed.
    """

    waveforms: list[np.ndarray]
    sample_rate: int
    cut_off: list[bool]
    synthesis_s: float | None = None
    underruns: int | None = None

    def save(self, folder: Path, names: Sequence[str]) -> None:
        """Write every utterance as FOLDER/NAME.flac."""
        for name, waveform in zip(names, self.waveforms, strict=True):
            path = folder / f"{name}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)  # names may contain slashes
            write_audio(path, waveform, self.sample_rate)


def text_of(cut: Cut) -> str:
    """Transcript of a cut that holds one utterance."""
    text: str = cut.supervisions[0].text
    return text


def load_waveform(cut: Cut, sample_rate: int) -> np.ndarray:
    """Recording [S] of a cut at the given rate in Hz."""
    waveform: np.ndarray = cut.load_audio()[0]
    if cut.sampling_rate != sample_rate:
        waveform = soxr.resample(waveform, cut.sampling_rate, sample_rate)
    return waveform


def take_recordings(cuts: Sequence[Cut]) -> Synthesis:
    """Return the recordings; their errors are those of the recogniser."""
    sample_rate = cuts[0].sampling_rate
    waveforms = [load_waveform(cut, sample_rate) for cut in cuts]
    return Synthesis(waveforms, sample_rate, cut_off=[False] * len(cuts))


@torch.inference_mode()
def speak_through_codec(cuts: Sequence[Cut], codec: Codec, device: str = "cpu") -> Synthesis:
    """Encode and decode the recordings: the best quality that a model with this codec can have."""
    waveforms = []
    start = time.perf_counter()
    for cut in cuts:
        recording = torch.from_numpy(load_waveform(cut, codec.sample_rate))
        codes = codec.encode([recording.to(device)])[0]
        decoded = codec.decode(codec.codes_to_units(codes)[None])[0]
        waveforms.append(decoded[: len(recording)].cpu().numpy())
    elapsed = time.perf_counter() - start
    return Synthesis(waveforms, codec.sample_rate, [False] * len(cuts), elapsed)


def speak_whole(
    cuts: Sequence[Cut],
    tts: TTS,
    options: DecodingOptions,
    *,
    layout: Layout | None = None,
    clone: bool = False,
    seed: int = 0,
    batch_size: int = 1,
) -> Synthesis:
    """Let a model speak the transcripts.

    Args:
        cuts: The test set.
        tts: The model.
        options: How to draw frames and when to stop.
        layout: The layout to speak in. None: the checkpoint's own.
        clone: Use another recording as prompt of each utterance, see `choose_prompts`.
        seed: Seed of the first utterance, counted up for the others.
        batch_size: Utterances spoken at once; this changes the duration, not the speech.
    """
    prompts: list[Prompt | None] = [None] * len(cuts)
    if clone:
        prompts = [
            Prompt(text_of(cut), load_waveform(cut, tts.codec.sample_rate))
            for cut in choose_prompts(cuts, tts.max_prompt_s)
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
    return Synthesis(
        [one.audio for one in speech],
        tts.codec.sample_rate,
        [not one.stopped for one in speech],
        elapsed,
    )


def speak_live(
    cuts: Sequence[Cut],
    tts: TTS,
    options: DecodingOptions,
    *,
    characters_per_second: float,
    seed: int = 0,
) -> Synthesis:
    """Let a model speak the transcripts while they are being written, in real time.

    Args:
        cuts: The test set.
        tts: The model, with a chunked layout.
        options: How to draw frames and when to stop.
        characters_per_second: Speed of the writer.
        seed: Seed of the first utterance, counted up for the others.
    """
    waveforms, cut_off, underruns, elapsed_s = [], [], 0, 0.0
    for number, cut in enumerate(cuts):
        pieces = release(schedule(text_of(cut), characters_per_second))
        with tts.open_session(decoding=options, seed=seed + number, max_ahead_s=None) as session:
            audio: list[np.ndarray] = []
            timeline = converse(session, pieces, [audio.append])
            cut_off.append(not session.stopped)
        waveforms.append(np.concatenate([np.zeros(0, np.float32), *audio]))
        if audio:
            underruns += len(timeline.playback(session.sample_rate).stalls_s)
            elapsed_s += timeline.chunks[-1][0]
    return Synthesis(waveforms, tts.codec.sample_rate, cut_off, elapsed_s, underruns)


def choose_prompts(cuts: Sequence[Cut], max_prompt_s: float | None = None) -> list[Cut]:
    """Choose another cut as prompt for each cut; it is neither too short nor too long.

    Args:
        cuts: The test set.
        max_prompt_s: Longest prompt of the model in seconds. None: no limit.

    Raises:
        ValueError: If fewer than two cuts have such a length.
    """
    limit_s = math.inf if max_prompt_s is None else max_prompt_s
    lengths = [len(text_of(cut).split()) for cut in cuts]
    longest = max(PROMPT_MAX_WORDS, np.median(lengths))
    usable = [
        cut
        for cut, length in zip(cuts, lengths, strict=True)
        if PROMPT_MIN_WORDS <= length <= longest and cut.duration <= limit_s
    ]
    if len(usable) < 2:
        within = "" if max_prompt_s is None else f" in at most {max_prompt_s:.1f} s"
        raise ValueError(
            f"{len(usable)} of {len(cuts)} test utterances have {PROMPT_MIN_WORDS} to {longest:g} "
            f"words{within}: voice cloning needs two that can be prompts; take a larger test set"
        )
    chosen = []
    for index, cut in enumerate(cuts):
        prompt = usable[index % len(usable)]
        chosen.append(prompt if prompt.id != cut.id else usable[(index + 1) % len(usable)])
    return chosen


class Systems:
    """Everything that can be compared on a test set; models are loaded when first needed.

    Args:
        cuts: The test set.
        options: How models draw frames and when they stop.
        model: Checkpoint folder, hub name or bundled model. None: the default model.
        stream_model: Model for the modes "stream" and "live". None: `model`.
        codec: Folder, hub name or `.th` file. None: the one in or beside the checkpoint.
        device: Device of the models.
        dtype: Their precision, see `TTS.from_pretrained`.
        seed: Seed of the first utterance, counted up for the others.
        batch_size: Utterances spoken at once.
        characters_per_second: Speed of the writer in the mode "live".
        recommended: Names of options that each model decides, see `TTS.default_options`.
    """

    def __init__(
        self,
        cuts: Sequence[Cut],
        options: DecodingOptions,
        *,
        model: str | None = None,
        stream_model: str | None = None,
        codec: str | None = None,
        device: str = "cpu",
        dtype: str = "auto",
        seed: int = 0,
        batch_size: int = 1,
        characters_per_second: float = 20.0,
        recommended: Sequence[str] = (),
    ) -> None:
        self.recommended = recommended
        self.characters_per_second = characters_per_second
        self.cuts, self.options = cuts, options
        self.model, self.stream_model = model, stream_model or model
        self.codec, self.device, self.dtype = codec, device, dtype
        self.seed, self.batch_size = seed, batch_size
        self._loaded: dict[str | None, TTS] = {}

    def speak(self, mode: str) -> Synthesis:
        """Let one of MODES speak the test set.

        Raises:
            ValueError: If a model cannot be loaded, or cannot stream but should.
        """
        if mode == "teacher":
            return take_recordings(self.cuts)
        if mode == "codec":
            codec = (
                load_codec(self.codec, self.device) if self.codec else self._load(self.model).codec
            )
            return speak_through_codec(self.cuts, codec, self.device)
        tts = (
            self._load(self.stream_model) if mode in ("stream", "live") else self._load(self.model)
        )
        if mode in ("stream", "live") and tts.model.layout.is_offline:
            raise ValueError(
                f"{self.stream_model} is not a streaming checkpoint: name one with --stream_model"
            )
        defaults = tts.default_options
        options = replace(
            self.options, **{name: getattr(defaults, name) for name in self.recommended}
        )
        if mode == "live":
            return speak_live(
                self.cuts,
                tts,
                options,
                characters_per_second=self.characters_per_second,
                seed=self.seed,
            )
        return speak_whole(
            self.cuts,
            tts,
            options,
            layout=None if mode in ("stream", "model") else Layout(),
            clone=mode == "clone",
            seed=self.seed,
            batch_size=self.batch_size,
        )

    def _load(self, name: str | None) -> TTS:
        if name not in self._loaded:
            self._loaded[name] = TTS.from_pretrained(
                name, codec=self.codec, device=self.device, dtype=self.dtype
            )
        return self._loaded[name]
