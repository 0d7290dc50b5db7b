"""Makes voices of recordings, and keeps the latest ones."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from sled.model.layout import Layout
from sled.streaming.engine import Engine
from sled.streaming.recording import check_transcript, level_of, read_recording
from sled.streaming.segment_budget import check_prompt
from sled.streaming.voice import Prompt, Voice
from sled.text.tokenizer import TextTokenizer, normalize_spaces

# Each holds keys and values of a recording: up to 100 MB at the published size.
MAX_VOICES_KEPT = 8


class VoiceMaker:
    """Makes voices for one model and one codec. The same prompt is prepared only once.

    Args:
        engine: Runs the model and the codec.
        tokenizer: Tokenizer of the model.
    """

    def __init__(self, engine: Engine, tokenizer: TextTokenizer) -> None:
        self._engine, self._tokenizer = engine, tokenizer
        self._voices: OrderedDict[tuple[str, Layout], Voice] = OrderedDict()

    def read(self, prompt: Prompt) -> Tensor:
        """The recording of a prompt [S] as the model is to continue it.

        Raises:
            ValueError: If it is unusable.
        """
        level = None if prompt.as_recorded else level_of(self._engine.model.config.speaking)
        rate = self._engine.codec.sample_rate
        return read_recording(prompt.audio, prompt.sample_rate, rate, level)

    def make(
        self, waveform: Tensor, text: str, prompt: Prompt, layout: Layout | None = None
    ) -> Voice:
        """Prepare a voice.

        Args:
            waveform: [S] the recording, from `read`.
            text: Its transcript, or an instruction.
            prompt: Has the conditions, and says whether all is to be taken as it is.
            layout: The layout to speak in. None: the checkpoint's own.

        Raises:
            ValueError: If the recording is too long for the model, or cannot have this transcript.
        """
        model, codec = self._engine.model, self._engine.codec
        layout = layout or model.layout
        if prompt.instruction is not None and not codec.prompt_conditions:
            raise ValueError(
                "this codec does not speak with the voice of a recording that the model has not "
                "read: leave the instruction out"
            )
        check_prompt(model.config, codec.num_frames(len(waveform)))
        transcript = normalize_spaces(text)
        text = self._tokenizer.normalize(transcript)
        if not prompt.as_recorded and prompt.instruction is None:
            check_transcript(transcript, waveform, codec.sample_rate, self._tokenizer, model.config)
        digest = hashlib.sha256(waveform.numpy().tobytes() + text.encode())
        digest.update(repr(prompt.instruction).encode())
        for name, vector in sorted(prompt.conditions.items()):
            digest.update(name.encode() + vector.cpu().numpy().tobytes())
        key = (digest.hexdigest(), layout)
        voice = self._voices.pop(key, None)
        if voice is None:
            codes = codec.encode([waveform.to(model.device)])[0]  # [K, P]
            units = codec.codes_to_units(codes)
            conditions = codec.conditions_of(waveform, units) | dict(prompt.conditions)
            if prompt.instruction is not None:
                units = units[:0]
            voice = self._prepare(text, units, conditions, layout)
            voice = replace(voice, transcript=transcript)
        self._voices[key] = voice
        if len(self._voices) > MAX_VOICES_KEPT:
            self._voices.popitem(last=False)
        return voice

    def make_stored(self, name: str, layout: Layout | None = None) -> Voice:
        """Prepare the voice of a speaker that the codec has stored.

        Raises:
            ValueError: If there is no such speaker.
        """
        model, codec = self._engine.model, self._engine.codec
        units = torch.zeros(0, *codec.unit_shape, dtype=codec.unit_dtype, device=codec.device)
        conditions = codec.conditions_of_speaker(name)
        return self._prepare("", units, conditions, layout or model.layout)

    def _prepare(
        self, text: str, units: Tensor, conditions: Mapping[str, Tensor], layout: Layout
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
        )
        return engine.run(steps)
