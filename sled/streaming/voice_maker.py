"""Makes voices of recordings, and keeps the latest ones."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import replace

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
            text: Its transcript.
            prompt: Has the conditions, and says whether all is to be taken as it is.
            layout: The layout to speak in. None: the checkpoint's own.

        Raises:
            ValueError: If the recording is too long for the model, or cannot have this transcript.
        """
        model, codec = self._engine.model, self._engine.codec
        layout = layout or model.layout
        check_prompt(model.config, codec.num_frames(len(waveform)))
        transcript = normalize_spaces(text)
        text = self._tokenizer.normalize(transcript)
        if not prompt.as_recorded:
            check_transcript(transcript, waveform, codec.sample_rate, self._tokenizer, model.config)
        digest = hashlib.sha256(waveform.numpy().tobytes() + text.encode())
        for name, vector in sorted(prompt.conditions.items()):
            digest.update(name.encode() + vector.cpu().numpy().tobytes())
        key = (digest.hexdigest(), layout)
        voice = self._voices.pop(key, None)
        if voice is None:
            codes = codec.encode([waveform.to(model.device)])[0]  # [K, P]
            steps = Voice.prepare(
                text,
                codec.codes_to_units(codes),
                model=model,
                tokenizer=self._tokenizer,
                codec=codec,
                layout=layout,
                conditions=prompt.conditions,
            )
            voice = replace(self._engine.run(steps), transcript=transcript)
        self._voices[key] = voice
        if len(self._voices) > MAX_VOICES_KEPT:
            self._voices.popitem(last=False)
        return voice
