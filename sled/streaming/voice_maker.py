"""Makes voices of recordings, keeps the latest ones, and reads and writes their files."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sled.model.layout import Layout
from sled.streaming.engine import Engine
from sled.streaming.recording import Audio, check_transcript, level_of, read_recording
from sled.streaming.segment_budget import check_prompt
from sled.streaming.voice import Prompt, Voice
from sled.text.incremental import IncrementalTokenizer
from sled.text.plain import well_formed
from sled.text.tokenizer import TextTokenizer, normalize_spaces
from sled.transcribe import DEFAULT_MODEL, load_recognizer

# Each holds keys and values of a recording: up to 100 MB at the published size.
MAX_VOICES_KEPT = 8
# Published instructions end with this special token, if the tokenizer has it.
END_OF_INSTRUCTION = "<|endofprompt|>"

logger = logging.getLogger(__name__)


class UnsupportedModeError(ValueError):
    """A way to speak, such as by an instruction, that a model and its codec do not know."""


class VoiceMaker:
    """Makes voices for one model and one codec. The same prompt is prepared only once.

    Args:
        engine: Runs the model and the codec.
        tokenizer: Tokenizer of the model.
        recordings: Recordings that have names.
    """

    def __init__(
        self, engine: Engine, tokenizer: TextTokenizer, recordings: Mapping[str, Prompt]
    ) -> None:
        self._engine, self._tokenizer, self._recordings = engine, tokenizer, dict(recordings)
        self._voices: OrderedDict[tuple[str, Layout], Voice] = OrderedDict()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the recordings, and of the speakers that the codec has stored."""
        return (*self._recordings, *self._engine.codec.speakers)

    def transcribe(self, prompt: Prompt, recognizer: str) -> str:
        """The words that are recognised in a recording, see `TTS.transcribe`."""
        return self._recognize(self._read(prompt), recognizer)

    def _recognize(self, waveform: Tensor, recognizer: str) -> str:
        text = load_recognizer(recognizer)(waveform, self._engine.codec.sample_rate)
        if not text:
            raise ValueError("no word was recognised in the recording: give the words spoken in it")
        return text

    def _read(self, prompt: Prompt) -> Tensor:
        """The recording of a prompt [S] as the model is to continue it."""
        level = None if prompt.as_recorded else level_of(self._engine.model.config.speaking)
        rate = self._engine.codec.sample_rate
        return read_recording(prompt.audio, prompt.sample_rate, rate, level)

    def make(
        self,
        prompt: Prompt | Voice | str | None,
        layout: Layout | None = None,
        instruction: str | None = None,
    ) -> Voice:
        """Prepare a voice.

        Args:
            prompt: A recording, one of `names`, or a voice. None: no voice.
            layout: The layout to speak in. None: the checkpoint's own.
            instruction: What the model reads in the place of a recording, see `Prompt.instruction`.

        Raises:
            UnsupportedModeError: For an instruction or a recording that the codec has no use for.
            ValueError: For an unknown name, or a recording that is unusable, is too long for the
                model, or cannot have its transcript.
        """
        codec = self._engine.codec
        if isinstance(prompt, str) and prompt not in codec.speakers:
            prompt = self._recording(prompt)
        if isinstance(prompt, Prompt):
            if instruction is not None:
                prompt = replace(prompt, instruction=instruction)
            return self._make(prompt, layout)
        conditions: Mapping[str, Tensor] = {}
        if isinstance(prompt, Voice):
            if instruction is None:
                return prompt
            conditions = prompt.conditions
        elif prompt is not None:
            conditions = codec.conditions_of_speaker(prompt)
            ids, units = codec.recording_of_speaker(prompt)
            if instruction is None and (text := self._words_of_speaker(prompt, ids)):
                check_prompt(self._engine.model.config, len(units))
                return self._make_of_units(text, units, conditions, layout)
        return self._make_without_recording(conditions, layout, instruction)

    def _recording(self, name: str) -> Prompt:
        """The recording of this name."""
        if name not in self._recordings:
            names = ", ".join(self.names)
            known = f"choose from {names}" if names else "this model has no voices by name"
            raise ValueError(
                f"there is no voice {name!r}: {known}, or give Prompt(text, audio), with the "
                "words spoken in a recording"
            )
        return self._recordings[name]

    def save(self, voice: Voice, path: str | Path, notes: Mapping[str, str] | None) -> None:
        """Write a voice file, see `TTS.save_voice`."""
        voice.check(self._engine.model, voice.layout)
        voice.save(path, self._model_digest, self._engine.codec, notes)

    def load(self, path: str | Path, layout: Layout | None) -> Voice:
        """Read a voice file, see `TTS.load_voice`."""
        engine = self._engine
        voice = Voice.load(
            path,
            model=engine.model,
            model_digest=self._model_digest,
            tokenizer=self._tokenizer,
            codec=engine.codec,
        )
        if layout is None or layout == voice.layout:
            return voice
        again = self._prepare(voice.text, voice.units, voice.conditions, layout, voice.tokens)
        return replace(again, transcript=voice.transcript)

    @cached_property
    def _model_digest(self) -> str:
        return self._engine.model.digest()

    def convert(
        self, recording: Audio, voice: Prompt | Voice | str, sample_rate: int | None
    ) -> np.ndarray:
        """Say the speech of a recording with another voice, see `TTS.convert`."""
        codec = self._engine.codec
        if not codec.prompt_conditions:
            raise UnsupportedModeError(
                "this codec cannot put another voice on speech, since its units hold the voice: "
                "use a model of speech tokens"
            )
        source = read_recording(recording, sample_rate, codec.sample_rate, None)
        if isinstance(voice, str) and voice not in codec.speakers:
            voice = self._recording(voice)
        if isinstance(voice, Voice):
            conditions = voice.conditions
        elif isinstance(voice, Prompt):
            waveform = self._read(voice)
            check_prompt(self._engine.model.config, codec.num_frames(len(waveform)))
            conditions = codec.encode_prompt(waveform)[1]
        else:
            conditions = codec.conditions_of_speaker(voice)
        units = codec.codes_to_units(codec.encode([source])[0])
        batch = {name: one[None] for name, one in conditions.items()}
        audio: np.ndarray = codec.decode(units[None], batch)[0].cpu().numpy()
        return audio

    def _make(self, prompt: Prompt, layout: Layout | None) -> Voice:
        """Prepare the voice of a recording with its transcript, or with an instruction."""
        model, codec = self._engine.model, self._engine.codec
        layout = layout or model.layout
        waveform = self._read(prompt)
        if prompt.instruction is not None:
            transcript = self._complete(prompt.instruction)
        else:
            text = prompt.text
            text = self._recognize(waveform, DEFAULT_MODEL) if text is None else text
            transcript = normalize_spaces(well_formed(text))
        check_prompt(model.config, codec.num_frames(len(waveform)))
        text = self._tokenizer.normalize(transcript)
        if not prompt.as_recorded and prompt.instruction is None:
            check_transcript(transcript, waveform, codec.sample_rate, self._tokenizer, model.config)

        def prepare() -> Voice:
            units, conditions = codec.encode_prompt(waveform)
            conditions |= prompt.conditions
            if prompt.instruction is not None:
                units, conditions = units[:0], self._for_instruction(conditions, text)
            return replace(self._prepare(text, units, conditions, layout), transcript=transcript)

        parts = (waveform.numpy(), text, repr(prompt.instruction))
        return self._once(parts, prompt.conditions, layout, prepare)

    def _words_of_speaker(self, name: str, ids: tuple[int, ...]) -> str:
        """The words of the recording that is stored with a speaker; "" if they are not known."""
        text = self._tokenizer.decode(ids)
        again = IncrementalTokenizer(self._tokenizer)
        if tuple(again.feed(text) + again.finish()) == ids:
            return text
        logger.warning(
            "the words stored with the speaker %r are not those of this model's tokenizer: only "
            "the codec continues the recording; give the recording with its words as a prompt",
            name,
        )
        return ""

    def _make_without_recording(
        self, conditions: Mapping[str, Tensor], layout: Layout | None, instruction: str | None
    ) -> Voice:
        """Prepare a voice that has only conditions, and perhaps an instruction."""
        codec, text = self._engine.codec, ""
        if instruction is not None:
            text = self._tokenizer.normalize(self._complete(instruction))
            conditions = self._for_instruction(conditions, text)
        units = torch.zeros(0, *codec.unit_shape, dtype=codec.unit_dtype, device=codec.device)
        return self._make_of_units(text, units, conditions, layout)

    def _make_of_units(
        self, text: str, units: Tensor, conditions: Mapping[str, Tensor], layout: Layout | None
    ) -> Voice:
        """Prepare a voice of what is known already, of which the units [P, ...] may be none."""
        layout = layout or self._engine.model.layout
        prepare = partial(self._prepare, text, units, conditions, layout)
        return self._once((text, units.cpu().numpy()), conditions, layout, prepare)

    def _complete(self, instruction: str) -> str:
        """An instruction as the model reads it.

        Raises:
            UnsupportedModeError: If the model's speech has the voice of what it has read.
        """
        if not self._engine.codec.prompt_conditions:
            raise UnsupportedModeError(
                "this codec does not speak with the voice of a recording that the model has not "
                "read: leave the instruction out"
            )
        text = normalize_spaces(well_formed(instruction))
        marked = END_OF_INSTRUCTION in self._tokenizer.form.typed
        if text and marked and END_OF_INSTRUCTION not in text:
            text += END_OF_INSTRUCTION
        return text

    def _for_instruction(self, conditions: Mapping[str, Tensor], text: str) -> dict[str, Tensor]:
        """Conditions of speech as an instruction says: the model reads no speaker, if it can."""
        if not text:
            return dict(conditions)
        try:
            self._engine.model.embed_conditions({})
        except ValueError:
            return dict(conditions)
        return self._engine.codec.kept_from_model(conditions)

    def _once(
        self,
        parts: Sequence[np.ndarray | str],
        conditions: Mapping[str, Tensor],
        layout: Layout,
        prepare: Callable[[], Voice],
    ) -> Voice:
        """A voice that is made of these parts and conditions; the latest ones are kept."""
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part.encode() if isinstance(part, str) else part.tobytes())
        for name, vector in sorted(conditions.items()):
            digest.update(name.encode() + vector.cpu().numpy().tobytes())
        key = (digest.hexdigest(), layout)
        voice = self._voices.pop(key, None)
        if voice is None:
            voice = prepare()
        self._voices[key] = voice
        if len(self._voices) > MAX_VOICES_KEPT:
            self._voices.popitem(last=False)
        return voice

    def _prepare(
        self,
        text: str,
        units: Tensor,
        conditions: Mapping[str, Tensor],
        layout: Layout,
        tokens: Sequence[int] | None = None,
    ) -> Voice:
        engine = self._engine
        steps = Voice.prepare(
            text,
            units,
            model=engine.model,
            tokenizer=self._tokenizer,
            codec=engine.codec,
            layout=layout,
            conditions=conditions,
            tokens=tokens,
        )
        return engine.run(steps)
