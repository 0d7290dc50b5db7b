"""A model of SLED in one of the modes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from typing_extensions import override

from sled.codec import Codec, load_codec
from sled.decoding import DecodingOptions
from sled.evaluation.identity import folder_digest
from sled.evaluation.items import Item, choose_prompts
from sled.evaluation.modes import MODES
from sled.evaluation.systems.base import System, Utterance
from sled.evaluation.systems.recordings import CodecSystem, Recordings
from sled.model.layout import Layout
from sled.simulation.client import converse
from sled.simulation.pacing import release, schedule
from sled.streaming.voice import Prompt
from sled.tts import TTS

STREAMING = ("stream", "live")


@dataclass(frozen=True)
class ModelSettings:
    """Which models are compared, and how they speak.

    Attributes:
        model: Checkpoint folder, hub name or bundled model. None: the default model.
        stream_model: Model for the modes "stream" and "live". None: `model`.
        codec: Folder, hub name or `.th` file. None: the one in or beside the checkpoint.
        device: Device of the models.
        dtype: Their precision, see `TTS.from_pretrained`.
        options: How models draw frames and when they stop.
        recommended: Names of options that each model decides, see `TTS.default_options`.
        characters_per_second: Speed of the writer in the mode "live".
        voice: Name of the voice to speak with where no recording is to be continued. None: the
            model's own.
    """

    model: str | None = None
    stream_model: str | None = None
    codec: str | None = None
    device: str = "cpu"
    dtype: str = "auto"
    options: DecodingOptions = DecodingOptions()  # noqa: RUF009  # it is frozen
    recommended: tuple[str, ...] = ()
    characters_per_second: float = 20.0
    voice: str | None = None


class Models:
    """Makes the systems of modes; a model is loaded when it first speaks, and only once.

    Args:
        settings: Which models, and how they speak.
        items: The test set, of which the mode "clone" takes prompts.
    """

    def __init__(self, settings: ModelSettings, items: Sequence[Item]) -> None:
        self.settings, self.items = settings, items
        self._loaded: dict[str | None, TTS] = {}

    def system(
        self, mode: str, name: str | None = None, changes: Mapping[str, Any] | None = None
    ) -> System:
        """Return the system of a mode.

        Args:
            mode: One of MODES.
            name: Its name in reports. None: the mode.
            changes: Options to change in `settings.options`.
        """
        assert mode in MODES
        if mode == "teacher":
            return Recordings()
        if mode == "codec":
            return self.codec_system()
        return ModelSystem(self, mode, name or mode, changes or {})

    def codec_system(self) -> CodecSystem:
        """Return the codec as a system."""
        settings = self.settings
        described = {"codec": _described(settings.codec)}
        if settings.codec is None:
            described["model"] = _described(settings.model)
        return CodecSystem(self.load_codec, described, settings.device)

    def load_codec(self) -> Codec:
        """Load the codec that the mode "codec" uses."""
        settings = self.settings
        if settings.codec is not None:
            return load_codec(settings.codec, settings.device)
        return self.load(settings.model).codec

    def load(self, name: str | None) -> TTS:
        """Load a model, unless it is loaded."""
        settings = self.settings
        if name not in self._loaded:
            self._loaded[name] = TTS.from_pretrained(
                name, codec=settings.codec, device=settings.device, dtype=settings.dtype
            )
        return self._loaded[name]


def _described(name: str | None) -> dict[str, str | None]:
    return {"name": name, "digest": folder_digest(name)}


class ModelSystem(System):
    """A model in one mode.

    Args:
        models: Loads it.
        mode: One of MODES that speak.
        name: Its name in reports.
        changes: Options that differ from the others'.
    """

    def __init__(self, models: Models, mode: str, name: str, changes: Mapping[str, Any]) -> None:
        self.name, self._mode, self._models = name, mode, models
        self._changes = dict(changes)
        settings = models.settings
        self._model = settings.model
        if mode in STREAMING:
            self._model = settings.stream_model or settings.model
        self.max_batch = 1 if mode == "live" else None

    @override
    def settings(self) -> dict[str, Any]:
        settings = self._models.settings
        described: dict[str, Any] = {
            "mode": self._mode,
            "model": _described(self._model),
            "codec": _described(settings.codec),
            "dtype": settings.dtype,
            "device": settings.device.split(":")[0],
            "options": {
                name: value
                for name, value in asdict(settings.options).items()
                if name not in settings.recommended
            }
            | self._changes,
        }
        if self._mode == "live":
            described["characters_per_second"] = settings.characters_per_second
        if settings.voice is not None:
            described["voice"] = settings.voice
        return described

    @override
    def speak(self, items: Sequence[Item], seeds: Sequence[int]) -> list[Utterance]:
        tts = self._models.load(self._model)
        if self._mode in STREAMING and tts.model.streaming_layout.is_offline:
            raise ValueError(
                f"{self._model} is not a streaming checkpoint: name one with --stream_model"
            )
        settings = self._models.settings
        defaults = tts.default_options
        recommended = {name: getattr(defaults, name) for name in settings.recommended}
        options = replace(settings.options, **{**recommended, **self._changes})
        prompts = self._prompts(tts, items)
        if self._mode == "live":
            pace = settings.characters_per_second
            return [
                speak_live(tts, item, seed, options, pace, prompt)
                for item, seed, prompt in zip(items, seeds, prompts, strict=True)
            ]
        layout: Layout | None = Layout()
        if self._mode in ("stream", "model"):
            layout = tts.model.streaming_layout if self._mode == "stream" else None
        return speak_whole(tts, items, seeds, options, layout, prompts)

    def _prompts(self, tts: TTS, items: Sequence[Item]) -> list[Prompt | str | None]:
        clips = [item.prompt for item in items]
        if self._mode == "clone":
            chosen = choose_prompts(self._models.items, tts.max_prompt_s)
            index_of = {item.id: index for index, item in enumerate(self._models.items)}
            clips = [chosen[index_of[item.id]] for item in items]
        rate = tts.codec.sample_rate
        own = self._models.settings.voice
        return [own if clip is None else Prompt(clip.text, clip.load(rate)) for clip in clips]


def speak_whole(
    tts: TTS,
    items: Sequence[Item],
    seeds: Sequence[int],
    options: DecodingOptions,
    layout: Layout | None,
    prompts: Sequence[Prompt | str | None],
) -> list[Utterance]:
    """Speak texts that are known in advance, all at once."""
    start = time.perf_counter()
    speech = tts.synthesize(
        [item.text for item in items],
        prompts=prompts if any(prompt is not None for prompt in prompts) else None,
        seeds=list(seeds),
        options=options,
        layout=layout,
    )
    elapsed_s = time.perf_counter() - start
    samples = sum(len(one.audio) for one in speech)
    rate = tts.codec.sample_rate
    return [
        Utterance(
            one.audio,
            rate,
            one.stopped,
            # What a batch takes is divided by the length of the speech.
            elapsed_s * len(one.audio) / max(samples, 1),
            joints=tuple(one.joints),
        )
        for one in speech
    ]


def speak_live(
    tts: TTS,
    item: Item,
    seed: int,
    options: DecodingOptions,
    characters_per_second: float,
    prompt: Prompt | str | None = None,
) -> Utterance:
    """Speak a text while it is being written, in real time.

    Args:
        tts: The model, with a streaming layout.
        item: The text.
        seed: Seed of the noise.
        options: How to draw frames and when to stop.
        characters_per_second: Speed of the writer.
        prompt: A recording to be continued, or the name of a voice.
    """
    pieces = release(schedule(item.text, characters_per_second))
    layout = tts.model.streaming_layout
    with tts.open_session(
        decoding=options, layout=layout, seed=seed, max_ahead_s=None, voice=prompt
    ) as session:
        audio: list[np.ndarray] = []
        timeline = converse(session, pieces, [audio.append])
        stopped, rate = session.stopped, session.sample_rate
    joined = np.concatenate([np.zeros(0, np.float32), *audio])
    if not audio:
        return Utterance(joined, rate, stopped)
    return Utterance(
        joined,
        rate,
        stopped,
        synthesis_s=timeline.chunks[-1][0],
        first_audio_s=timeline.chunks[0][0] - timeline.first_text_s,
        stalls=len(timeline.playback(rate).stalls_s),
        joints=tuple(np.cumsum([len(one) for one in audio])[:-1].tolist()),
    )
