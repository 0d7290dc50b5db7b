"""The face users import: text to speech with one object.

from sled import TTS

tts = TTS.from_pretrained()
speech = tts.say("four two seven")
speech.save("out.wav")
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sled.codec import Codec
from sled.decoding import DecodingOptions
from sled.files.audio import check_audible, read_audio, write_audio
from sled.loading import check_parts, load_parts
from sled.model.interface import FrameModel
from sled.model.layout import Layout
from sled.model.lm import num_parameters
from sled.streaming.chunks import ChunkRamp
from sled.streaming.engine import Engine
from sled.streaming.faults import find_fault
from sled.streaming.options import Delivery
from sled.streaming.segment_budget import check_prompt, max_prompt_frames
from sled.streaming.session import Encoding, Session, SessionState
from sled.streaming.voice import Voice
from sled.text.segments import SegmentLimits
from sled.text.tokenizer import TextTokenizer, normalize_spaces

logger = logging.getLogger(__name__)

# The most that the codec is given at once; of a whole text, so much from the first chunk on: nobody
# waits for it, and the codec is fastest so.
MAX_CHUNK_S, WHOLE_TEXT_CHUNK_S = 0.43, 0.86
# A listener waits so much longer for a slow writer before the first sound.
MAX_START_DELAY_S = 1.0
ONE_SEGMENT = SegmentLimits(sys.maxsize, sys.maxsize)
# Each holds what the model remembers of a recording: up to 100 MB at the published size.
MAX_VOICES_KEPT = 8
# Seeds of further attempts lie far from those that are given.
REDRAW_STRIDE = 1_000_003


@dataclass(frozen=True, eq=False)
class Prompt:
    """A voice to continue: what was said and the recording of it.

    Attributes:
        text: Transcript of the recording.
        audio: A file in any format that soundfile reads, or a mono waveform [S] at the codec's
            sample rate.
    """

    text: str
    audio: str | Path | np.ndarray | Tensor

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError("the prompt has no text: give the words spoken in its audio")


@dataclass(frozen=True, eq=False)
class Speech:
    """One utterance.

    Attributes:
        audio: [S] float32 waveform.
        sample_rate: In Hz.
        latents: [T, D] the frames it was decoded from.
        stopped: True if the model ended it, False if it was cut at the frame limit.
    """

    audio: np.ndarray
    sample_rate: int
    latents: Tensor
    stopped: bool

    @property
    def seconds(self) -> float:
        return len(self.audio) / self.sample_rate

    def save(self, path: str | Path) -> None:
        """Write an audio file in the format of its suffix."""
        write_audio(path, self.audio, self.sample_rate)


class TTS:
    """A model, its tokenizer and its codec.

    Args:
        model: In evaluation mode, on the device and in the precision to run with.
        tokenizer: The model's.
        codec: On the same device; always float32.
        codec_threads: Threads of the processor for the codec. None: half as many as torch has.

    Raises:
        ValueError: If the codec's latents are not the model's.
    """

    def __init__(
        self,
        model: FrameModel,
        tokenizer: TextTokenizer,
        codec: Codec,
        codec_threads: int | None = None,
    ) -> None:
        check_parts(model.config, tokenizer, codec)
        self.model, self.tokenizer, self.codec = model, tokenizer, codec
        self._engine = Engine(model, codec, num_parameters(model.config), codec_threads)
        self._voices: OrderedDict[tuple[str, Layout], Voice] = OrderedDict()

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
            device: Such as "cpu", "cuda", "cuda:1" or "mps".
            dtype: What the model computes in: one of `sled.fast.PRECISIONS`, or "auto" for what
                suits its size and the machine (`sled.fast.choose_precision`).
            threads: Of the processor, for int8 and int4. None: as many as torch has.

        Raises:
            ValueError: If a part is missing, broken or does not fit the others.
        """
        return cls(*load_parts(name_or_path, codec, device, dtype, threads))

    # Speech as it is made.

    def open_session(
        self,
        *,
        voice: Voice | Prompt | None = None,
        seed: int = 0,
        options: DecodingOptions | None = None,
        layout: Layout | None = None,
        ramp: ChunkRamp | None = None,
        max_start_delay_s: float = MAX_START_DELAY_S,
        max_ahead_s: float | None = 30.0,
        trim_tail: bool = False,
        max_silence_s: float | None = None,
        encoding: Encoding = "float32",
    ) -> Session:
        """A session that speaks text while it is being written.

        Text of any length is said, in segments that fit the model: its positions, and the length
        of speech that it was trained on.

        In chunks of n tokens and m frames a voice of P frames has the model read about n P / m
        tokens before its first frame: what the voice's own text falls short of that, the new text
        has to bring, and a voice with more text lets the new one wait for its turn.

        Args:
            voice: To speak with; a prompt is prepared first, see `make_voice`.
            seed: The same seed says the same text the same way.
            options: How to draw frames and when to stop; `min_frames` and `max_length` hold for
                each segment.
            layout: None: the checkpoint's own. In the offline layout a segment is complete before
                it is spoken.
            ramp: How many frames are made audible at once. None: few first, then more.
            max_start_delay_s: Text that comes more slowly than it is spoken lets the first sound
                wait, at most so long, so that speech does not falter. 0: it never waits.
            max_ahead_s: Speech that may wait to be taken before the model pauses. None: any amount.
            trim_tail: Leave out near-silence at the end.
            max_silence_s: A segment of which all text has been read ends after so much silence.
            encoding: Of the audio: "float32" or "int16".

        Raises:
            ValueError: For a setting that cannot be, or an unusable prompt.
        """
        delivery = Delivery(
            options=options or self.default_options,
            layout=layout,
            voice=self.make_voice(voice, layout) if isinstance(voice, Prompt) else voice,
            ramp=ramp or ChunkRamp(max_frames=self._frames(MAX_CHUNK_S)),
            max_start_delay_s=max_start_delay_s,
            max_ahead_s=max_ahead_s,
            trim_tail=trim_tail,
            max_silence_s=max_silence_s,
        )
        return Session(self._engine, self.tokenizer, delivery, seed=seed, encoding=encoding)

    def _frames(self, seconds: float) -> int:
        return max(1, round(seconds * self.codec.frame_rate))

    def resume_session(self, state: SessionState) -> Session:
        """A session that goes on from a snapshot."""
        return Session.resume(state, self._engine, self.tokenizer)

    # Whole texts: sessions, fed at once and drained.

    def synthesize(
        self,
        texts: Sequence[str],
        *,
        prompts: Voice | Prompt | Sequence[Voice | Prompt | None] | None = None,
        seeds: int | Sequence[int] = 0,
        options: DecodingOptions | None = None,
        layout: Layout | None = None,
        trim_tail: bool = False,
        max_redraws: int = 0,
        on_frame: Callable[[], None] | None = None,
    ) -> list[Speech]:
        """Speak a batch of texts, each of which sounds as it would alone.

        Args:
            texts: What to say, of any length.
            prompts: A voice for all texts, or one for each.
            seeds: Seed of the first text, counted up for the others, or one for each.
            options: How to draw frames and when to stop.
            layout: None: as the checkpoint's configuration says.
            trim_tail: Leave out near-silence at the end.
            max_redraws: How often to try again, from another seed, what went wrong: speech that
                falls silent, goes on far too long or ends far too early.
            on_frame: Called for each frame, for example to move a progress bar; from a thread.

        Returns:
            One utterance per text, in order; without the prompts' speech.

        Raises:
            ValueError: For blank text, text that does not fit the model, or an unusable prompt.
        """
        if isinstance(texts, str):
            raise ValueError("give a list of texts; for a single one use say()")
        if not texts:
            raise ValueError("no text to speak: give at least one")
        if prompts is None or isinstance(prompts, Prompt | Voice):
            prompts = [prompts] * len(texts)
        if isinstance(seeds, int):
            seeds = range(seeds, seeds + len(texts))
        if len(prompts) != len(texts) or len(seeds) != len(texts):
            raise ValueError(
                f"{len(texts)} texts, {len(prompts)} prompts, {len(seeds)} seeds: one for each"
            )
        for line in texts:
            if not line.strip():
                raise ValueError("the text is blank: give at least one word to say")
        options = options or self.default_options
        chunk = self._frames(WHOLE_TEXT_CHUNK_S)
        deliveries = []
        for line, prompt in zip(texts, prompts, strict=True):
            voice = self.make_voice(prompt, layout) if isinstance(prompt, Prompt) else prompt
            delivery = Delivery(
                options=options,
                layout=layout,
                voice=voice,
                ramp=ChunkRamp(first_frames=chunk, max_frames=chunk),
                trim_tail=trim_tail,
            )
            num_tokens = len(self.tokenizer.encode(normalize_spaces(line)))
            if delivery.room(self.model.config).holds(num_tokens):
                delivery = replace(delivery, limits=ONE_SEGMENT)
            deliveries.append(delivery)
        speech = self._speak(texts, deliveries, seeds, on_frame)
        limited = options.max_frames is not None or options.max_length is not None
        for attempt in range(1, max_redraws + 1):
            wrong = []
            for index, one in enumerate(speech):
                if fault := find_fault(one.audio, one.sample_rate, one.stopped or limited):
                    logger.warning("%r %s: trying again", texts[index][:40], fault.value)
                    wrong.append(index)
            if not wrong:
                break
            redrawn = self._speak(
                [texts[index] for index in wrong],
                [deliveries[index] for index in wrong],
                [seeds[index] + attempt * REDRAW_STRIDE for index in wrong],
                on_frame,
            )
            for index, one in zip(wrong, redrawn, strict=True):
                speech[index] = one
        return speech

    def say(
        self,
        text: str,
        *,
        prompt: Voice | Prompt | None = None,
        seed: int = 0,
        options: DecodingOptions | None = None,
        layout: Layout | None = None,
        trim_tail: bool = False,
        max_redraws: int = 0,
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
        )[0]

    def _speak(
        self,
        texts: Sequence[str],
        deliveries: Sequence[Delivery],
        seeds: Sequence[int],
        on_frame: Callable[[], None] | None,
    ) -> list[Speech]:
        """Sessions for all texts at once, fed at once and drained."""
        with ExitStack() as stack:
            sessions = []
            for delivery, seed in zip(deliveries, seeds, strict=True):
                session = Session(
                    self._engine, self.tokenizer, delivery, seed=seed, on_frame=on_frame
                )
                sessions.append(stack.enter_context(session))
            for session, text in zip(sessions, texts, strict=True):
                session.feed(text)
                session.flush()
            return [self._drain(session) for session in sessions]

    def _drain(self, session: Session) -> Speech:
        chunks = list(session.chunks())
        audio = np.concatenate([chunk.audio for chunk in chunks])
        latents = torch.cat([chunk.latents for chunk in chunks])
        return Speech(audio, self.codec.sample_rate, latents, session.stopped)

    # Voices.

    def make_voice(self, prompt: Prompt, layout: Layout | None = None) -> Voice:
        """Prepare a voice, so that sessions which speak with it start at once.

        The last ones are kept, by what they hold: the same prompt is prepared only once.

        Args:
            prompt: A recording and its transcript.
            layout: To speak in. None: the checkpoint's own.

        Raises:
            ValueError: For an unusable recording, or one too long for the model (`max_prompt_s`).
        """
        waveform, layout = self._read_prompt(prompt), layout or self.model.layout
        check_prompt(self.model.config, self.codec.num_frames(len(waveform)))
        text = self.tokenizer.normalize(normalize_spaces(prompt.text))
        digest = hashlib.sha256(waveform.numpy().tobytes() + text.encode()).hexdigest()
        voice = self._voices.pop((digest, layout), None)
        if voice is None:
            codes = self.codec.encode([waveform.to(self.model.device)])[0]  # [K, P]
            voice = Voice.prepare(
                text,
                self.codec.codes_to_units(codes),
                model=self.model,
                tokenizer=self.tokenizer,
                codec=self.codec,
                layout=layout,
            )
        self._voices[digest, layout] = voice
        if len(self._voices) > MAX_VOICES_KEPT:
            self._voices.popitem(last=False)
        return voice

    @property
    def max_prompt_s(self) -> float | None:
        """Seconds of the longest recording that can be a voice. None: not known beforehand."""
        frames = max_prompt_frames(self.model.config)
        return None if frames is None else frames / self.codec.frame_rate

    @property
    def default_options(self) -> DecodingOptions:
        """What the model speaks best with."""
        return DecodingOptions.of_model(self.model.config)

    def save_voice(self, voice: Voice, path: str | Path) -> None:
        """Write a voice file, which this model and this codec can load."""
        voice.check(self.model, voice.layout)
        voice.save(path, self._model_digest, self.codec)

    def load_voice(self, path: str | Path) -> Voice:
        """Read a voice file.

        Raises:
            ValueError: If there is none, it is broken, or it was made with another model or codec.
        """
        return Voice.load(
            path,
            model=self.model,
            model_digest=self._model_digest,
            tokenizer=self.tokenizer,
            codec=self.codec,
        )

    @cached_property
    def _model_digest(self) -> str:
        return self.model.digest()

    def _read_prompt(self, prompt: Prompt) -> Tensor:
        """Waveform [S] of a prompt."""
        if isinstance(prompt.audio, str | Path):
            return read_audio(prompt.audio, self.codec.sample_rate)
        waveform = torch.as_tensor(prompt.audio, dtype=torch.float32).cpu()
        if waveform.ndim != 1:
            raise ValueError(f"a prompt must be mono, [samples]; got {list(waveform.shape)}")
        check_audible(waveform.numpy(), "the prompt")
        return waveform
