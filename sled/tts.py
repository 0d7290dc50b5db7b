"""The class that users import: text to speech with one object.

from sled import TTS

tts = TTS.from_pretrained()
speech = tts.say("four two seven")
speech.save("out.wav")
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sled.codec import Codec
from sled.decoding import DecodingOptions
from sled.files.recorded_voices import recorded_voices
from sled.loading import check_parts, load_parts, model_folder
from sled.model.interface import FrameModel
from sled.model.layout import Layout
from sled.speech import Speech, speak_and_redraw
from sled.streaming.arguments import (
    check_decoding,
    check_seed,
    check_texts,
    check_voice,
    one_for_each,
)
from sled.streaming.chunks import ChunkRamp
from sled.streaming.engine import Engine
from sled.streaming.options import SessionOptions
from sled.streaming.recording import Audio
from sled.streaming.segment_budget import max_prompt_frames
from sled.streaming.session import Session, SessionState
from sled.streaming.voice import Prompt, Voice
from sled.streaming.voice_maker import VoiceMaker
from sled.text.plain import plain_text
from sled.text.pronunciations import Pronunciations
from sled.text.segments import SegmentLimits
from sled.text.tokenizer import TextTokenizer
from sled.transcribe import DEFAULT_MODEL

logger = logging.getLogger(__name__)

# The most audio that the codec decodes at once. The first chunk of a whole text is not urgent, so
# all its chunks have the size at which the codec is fastest.
MAX_CHUNK_S, WHOLE_TEXT_CHUNK_S = 0.43, 0.86
ONE_SEGMENT = SegmentLimits(sys.maxsize, sys.maxsize)
# A guidance scale that differs by more from the checkpoint's own is warned of.
UNUSUAL_CFG = 0.5


class TTS:
    """A model, its tokenizer and its codec.

    Args:
        model: The model, in evaluation mode, on the device and in the precision to run with.
        tokenizer: The tokenizer of the model.
        codec: The codec, on the same device, always in float32.
        codec_threads: CPU threads for the codec. None: half as many as torch has.
        voices: Recordings by name, for `make_voice`.

    Raises:
        ValueError: If the parts do not fit together.
    """

    def __init__(
        self,
        model: FrameModel,
        tokenizer: TextTokenizer,
        codec: Codec,
        codec_threads: int | None = None,
        voices: Mapping[str, Prompt] | None = None,
    ) -> None:
        check_parts(model.config, tokenizer, codec)
        self.model, self.tokenizer, self.codec = model, tokenizer, codec
        self._engine = Engine(model, codec, model.parameter_count, codec_threads)
        self._voices = VoiceMaker(self._engine, tokenizer, voices or {})
        self._unusual_cfg: set[float] = set()

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path | None = None,
        *,
        codec: str | Path | None = None,
        device: str = "cpu",
        dtype: str = "auto",
        threads: int | None = None,
    ) -> TTS:
        """Load everything that speaking needs.

        Args:
            name_or_path: Checkpoint folder, hub name or bundled voice. None: the default one of the
                package.
            codec: Codec folder, hub name or `.th` file. None: a folder `codec` in or beside the
                checkpoint if there is one, else the published Encodec.
            device: Device, such as "cpu", "cuda", "cuda:1" or "mps".
            dtype: What the model computes in: one of `sled.fast.PRECISIONS`, or "auto" for what
                suits its size and the machine (`sled.fast.choose_precision`).
            threads: CPU threads, for int8 and int4. None: as many as torch has.

        Raises:
            ValueError: If a part is missing, broken or does not fit the others.
        """
        folder = model_folder(name_or_path)
        recordings = recorded_voices(folder).items()
        voices = {name: Prompt(one.text, one.audio) for name, one in recordings}
        return cls(*load_parts(folder, codec, device, dtype, threads), voices=voices)

    @property
    def engine(self) -> Engine:
        """Runs all sessions; tells how busy it is."""
        return self._engine

    # Speech as it is made.

    def open_session(self, options: SessionOptions | None = None, **changes: Any) -> Session:
        """Open a session that speaks text while it is being written.

        Text of any length is said in segments that fit the model's positions and the length of the
        speech that it was trained on.

        In a layout of n tokens and m frames, a voice of P frames has the model read about n P / m
        tokens before its first frame. If the voice's own text is shorter than that, new text has
        to make up for it; if it is longer, new text waits for its turn.

        Args:
            options: The settings. None: the defaults.
            **changes: Fields of `SessionOptions` to change, such as `seed=3`.

        Raises:
            ValueError: For an impossible setting or an unusable prompt.
            TypeError: For a field that `SessionOptions` does not have.
        """
        options = replace(options or SessionOptions(), **changes)
        self._check_guidance(options.decoding or self.default_options)
        voice = self._prepared(options.voice, options.layout)
        ramp = options.ramp or ChunkRamp(max_frames=self._frames(MAX_CHUNK_S))
        options = replace(options, voice=voice, ramp=ramp)
        return Session(self._engine, self.tokenizer, options)

    def _prepared(self, voice: Voice | Prompt | str | None, layout: Layout | None) -> Voice | None:
        return self.make_voice(voice, layout) if isinstance(voice, Prompt | str) else voice

    def _check_guidance(self, options: DecodingOptions) -> None:
        """Warn once of a guidance scale with which the model says many words wrongly."""
        speaking, own = self.model.config.speaking, self.default_options.cfg
        stated = speaking.cfg is not None or speaking.distilled_cfg is not None
        if stated and abs(options.cfg - own) > UNUSUAL_CFG and options.cfg not in self._unusual_cfg:
            self._unusual_cfg.add(options.cfg)
            logger.warning(
                "cfg=%g is far from %g, with which this model speaks best: expect wrong words",
                options.cfg,
                own,
            )

    def _frames(self, seconds: float) -> int:
        return max(1, round(seconds * self.codec.frame_rate))

    def resume_session(self, state: SessionState) -> Session:
        """A session that continues from a snapshot."""
        return Session.resume(state, self._engine, self.tokenizer)

    # Whole texts: sessions that are fed at once and drained.

    def synthesize(
        self,
        texts: Sequence[str],
        *,
        prompts: Voice | Prompt | str | Sequence[Voice | Prompt | str | None] | None = None,
        seeds: int | Sequence[int] = 0,
        options: DecodingOptions | None = None,
        layout: Layout | None = None,
        trim_tail: bool = False,
        max_redraws: int = 0,
        on_frame: Callable[[], None] | None = None,
        **changes: Any,
    ) -> list[Speech]:
        """Speak a batch of texts. Each one sounds as it would alone.

        Args:
            texts: What to say, of any length.
            prompts: A voice for all texts, or one for each: prepared, a recording, or a name.
            seeds: Seed of the first text, counted up for the others, or one for each.
            options: How to draw frames and when to stop.
            layout: None: as the checkpoint's configuration says.
            trim_tail: Leave out near-silence at the end.
            max_redraws: How often to try again, with another seed, if speech falls silent or does
                not end by itself.
            on_frame: Called for each frame, from another thread, for example for a progress bar.
            **changes: Further fields of `SessionOptions`: `pronunciations`, `dialect`, `markup`,
                `gain_db`.

        Returns:
            The speech of each text, in order, without that of the prompts.

        Raises:
            ValueError: For text without a word that can be said or that does not fit the model, or
                an unusable prompt.
        """
        texts = check_texts(texts)
        if prompts is None or isinstance(prompts, Prompt | Voice | str | Path):
            prompts = [check_voice(prompts)] * len(texts)
        if not isinstance(seeds, Sequence):
            first = check_seed(seeds)
            seeds = range(first, first + len(texts))
        one_for_each("prompts", prompts, len(texts))
        one_for_each("seeds", seeds, len(texts))
        dictionary = Pronunciations.of(changes.pop("pronunciations", None))
        options = check_decoding(options) or self.default_options
        self._check_guidance(options)
        chunk = self._frames(WHOLE_TEXT_CHUNK_S)
        sessions = []
        for text, prompt, seed in zip(texts, prompts, seeds, strict=True):
            session = SessionOptions(
                decoding=options,
                layout=layout,
                voice=self._prepared(prompt, layout),
                seed=seed,
                ramp=ChunkRamp(first_frames=chunk, max_frames=chunk),
                max_start_delay_s=0.0,
                max_ahead_s=None,
                max_lead_s=None,
                trim_tail=trim_tail,
                pronunciations=dictionary,
                **changes,
            )
            plain = plain_text(text, dictionary, session.markup)
            num_tokens = len(self.tokenizer.encode(plain))
            if session.budget(self.model.config).holds(num_tokens, self.tokenizer.normalize(plain)):
                session = replace(session, limits=ONE_SEGMENT)
            sessions.append(session)
        return speak_and_redraw(
            self._engine, self.tokenizer, texts, sessions, max_redraws, on_frame
        )

    def say(
        self,
        text: str,
        *,
        prompt: Voice | Prompt | str | None = None,
        seed: int = 0,
        options: DecodingOptions | None = None,
        layout: Layout | None = None,
        trim_tail: bool = False,
        max_redraws: int = 0,
        **changes: Any,
    ) -> Speech:
        """Speak one text; arguments as for `synthesize`."""
        return self.synthesize(
            [text],
            prompts=prompt,
            seeds=seed,
            options=options,
            layout=layout,
            trim_tail=trim_tail,
            max_redraws=max_redraws,
            **changes,
        )[0]

    # Voices.

    @property
    def voices(self) -> tuple[str, ...]:
        """Names of the voices besides the model's own, for `make_voice`.

        They are the recordings that came with the checkpoint, and the codec's speakers.
        """
        return self._voices.names

    def make_voice(
        self,
        prompt: Prompt | Voice | str | None,
        layout: Layout | None = None,
        instruction: str | None = None,
    ) -> Voice:
        """Prepare a voice, so that sessions with it start without delay; the last few are kept.

        Args:
            prompt: A recording and its transcript, the name of one of `voices`, or a voice that is
                to follow an instruction. None: the model's own voice.
            layout: The layout to speak in. None: the checkpoint's own.
            instruction: As `Prompt.instruction`, for any voice.

        Raises:
            ValueError: For an unknown name, an unusable recording, one too long for the model
                (`max_prompt_s`), a transcript that cannot be that of the recording, or an
                instruction to a model that follows none (`UnsupportedModeError`).
        """
        return self._voices.make(prompt, layout, instruction)

    def transcribe(self, prompt: Prompt, recognizer: str = DEFAULT_MODEL) -> str:
        """The words that faster-whisper recognises in a prompt's recording.

        Args:
            prompt: The prompt; its text is not used.
            recognizer: A size of Whisper, a hub name, or a folder with a CTranslate2 model.

        Raises:
            ValueError: If the recording is unusable, there is no recogniser, or no word is found.
        """
        return self._voices.transcribe(prompt, recognizer)

    @property
    def max_prompt_s(self) -> float | None:
        """The longest recording that can be a voice, in seconds. None: not known."""
        frames = max_prompt_frames(self.model.config)
        return None if frames is None else frames / self.codec.frame_rate

    def save_voice(
        self, voice: Voice, path: str | Path, notes: Mapping[str, str] | None = None
    ) -> None:
        """Write a voice file for this model and codec, with notes such as who agreed to it."""
        self._voices.save(voice, path, notes)

    def load_voice(self, path: str | Path, layout: Layout | None = None) -> Voice:
        """Read a voice file.

        Args:
            path: The file.
            layout: The layout to speak in. If the voice was made for another one, the model reads
                the recording again, which takes time. None: the layout that it was made for.

        Raises:
            ValueError: If the file is missing or broken, or was made with another model or codec.
        """
        return self._voices.load(path, layout)

    def convert(
        self, recording: Audio, voice: Prompt | Voice | str, sample_rate: int | None = None
    ) -> np.ndarray:
        """Say the speech of a recording with another voice, without a text.

        Args:
            recording: What is said, see `Prompt.audio`.
            voice: A recording, whose text is not used, a voice, or the name of one of `voices`.
            sample_rate: Of a recording that is samples, in Hz. None: that of the codec.

        Returns:
            [S] float32 samples at the rate of the codec, as long as the recording, up to a unit.

        Raises:
            ValueError: If a recording is unusable, there is no such voice, or the codec cannot put
                another voice on speech (`UnsupportedModeError`).
        """
        return self._voices.convert(recording, voice, sample_rate)

    def clone(
        self, prompt_wav_path: str | Path, prompt_text: str, target_text: str, **settings: Any
    ) -> tuple[np.ndarray, int]:
        """Say `target_text` with the voice of a recording, by the names of Step-Audio's interface.

        Returns:
            [S] float32 samples, and their rate in Hz.
        """
        prompt = Prompt(prompt_text, Path(prompt_wav_path))
        speech = self.say(target_text, prompt=prompt, **settings)
        return speech.audio, speech.sample_rate

    @property
    def has_marks(self) -> bool:
        """Whether the model tells when its words are said: whether sessions have marks."""
        return self._engine.tracks_text

    @property
    def default_options(self) -> DecodingOptions:
        """The settings that the checkpoint recommends."""
        return DecodingOptions.of_model(self.model.config)
