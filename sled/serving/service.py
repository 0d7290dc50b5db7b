"""Speech for the doors of the server: requests in, utterances out.

A door translates a wire format. It never touches the engine: it opens an utterance here, feeds it
text and takes its audio.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace

import numpy as np

from sled.files.allocator import keep_for_good
from sled.serving.admission import Admission
from sled.serving.caller import present_caller
from sled.serving.errors import ApiError
from sled.serving.playback import Playback
from sled.serving.settings import ServerSettings
from sled.serving.voices.library import VoiceEntry
from sled.serving.voices.presets import Preset, read_presets
from sled.serving.voices.uploads import Reference, Uploads
from sled.streaming.marks import Mark, MarkKind
from sled.streaming.options import SessionOptions
from sled.streaming.session import Session
from sled.text.tokenizer import normalize_spaces
from sled.tts import TTS

logger = logging.getLogger(__name__)

MODEL_ALIASES = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
# A step that lasts longer will not end.
STUCK_S = 5.0
# At the start this many sessions speak at once, to see how long steps take.
CALIBRATION = (1, 2, 4)
CALIBRATION_FRAMES = 40
# A listener with so much audio ahead has a reserve: the next session may start.
RESERVE_S = 0.25
# A session whose text is still being written then keeps others from starting for no longer.
WRITING_S = 0.5
# A listener begins with so many times the audio that is played until more of it comes.
CAUTION = 2.0


@dataclass(frozen=True, kw_only=True)
class SpeechRequest:
    """What to say it with; the text comes separately.

    Attributes:
        voice: Name of a voice. None: the model's own.
        seed: Seed of the speech.
        temperature: Scale of the noise. None: as the checkpoint recommends.
        cfg: Guidance scale. None: as the checkpoint recommends.
        max_lead_s: Seconds of audio that may be taken ahead of real time. None: any.
        reference: A recording to be continued, in the place of a voice.
        live: Whether somebody may be listening while the audio is made. If not, the speech rests
            while others are short of audio.
    """

    voice: str | None = None
    seed: int = 0
    temperature: float | None = None
    cfg: float | None = None
    max_lead_s: float | None = None
    reference: Reference | None = None
    live: bool = True


class SpeechService:
    """A model that speaks for many callers.

    Args:
        tts: The model.
        name: Its name.
        settings: The settings of the server.

    Attributes:
        tts: See above.
        name: See above.
        admission: The slots.
        uploads: Makes voices of recordings.
        voices: The voices by name; the model's own is the first.
        ready: Whether the model has been warmed up.

    Raises:
        ValueError: If the voices or the presets of the settings cannot be used.
    """

    def __init__(self, tts: TTS, name: str, settings: ServerSettings) -> None:
        self.tts, self.name = tts, name
        self.ready = False
        self.admission = Admission(
            tts.engine.pace.predict_load,
            settings.max_load,
            settings.max_sessions,
            settings.max_starting,
            settings.queue_s,
            settings.max_queued,
        )
        presets = {} if settings.presets is None else read_presets(settings.presets)
        self.uploads = Uploads(tts, name, settings.voices, presets, settings.consent)
        self.voices = self.uploads.library

    @property
    def sample_rate(self) -> int:
        """Sample rate of the speech, in Hz."""
        return self.tts.codec.sample_rate

    @property
    def has_marks(self) -> bool:
        """Whether the model tells when its words are said."""
        return self.tts.has_marks

    @property
    def healthy(self) -> bool:
        """Whether the engine answers."""
        return self.tts.engine.step_running_s < STUCK_S

    async def warm_up(self, text: str) -> None:
        """Speak to nobody, so that the first caller does not wait and the capacity is known.

        Args:
            text: What to say.
        """
        # The words of numbers are loaded when the first one is read, which takes 0.1 s.
        await asyncio.to_thread(self.tts.tokenizer.normalize, "1")
        for count in CALIBRATION:
            await asyncio.gather(*(self._speak_to_nobody(text) for _ in range(count)))
        keep_for_good()
        self.ready = True

    async def _speak_to_nobody(self, text: str) -> None:
        decoding = replace(self.tts.default_options, max_frames=CALIBRATION_FRAMES)
        async with self.tts.open_session(SessionOptions(decoding=decoding)) as session:
            session.feed(text)
            session.flush()
            async for _ in session:
                pass

    def count_tokens(self, text: str) -> int:
        """Tokens of a text."""
        return len(self.tts.tokenizer.encode(normalize_spaces(text)))

    def count_frames(self, seconds: float) -> int:
        """Frames of speech of a duration."""
        return round(seconds * self.tts.codec.frame_rate)

    def check_model(self, name: str | None) -> None:
        """Check that a request names this model.

        Raises:
            ApiError: `model_not_found`.
        """
        if name is not None and name not in (self.name, *MODEL_ALIASES):
            raise ApiError(
                "model_not_found",
                f"there is no model {name!r}: the model is {self.name!r}",
                "model",
            )

    def find_voice(self, name: str | None) -> VoiceEntry:
        """The voice of a name; OpenAI's names stand for the model's own voice, unless preset.

        Raises:
            ApiError: `voice_not_found`.
        """
        return self.voices.find(name)

    @asynccontextmanager
    async def open(self, request: SpeechRequest) -> AsyncIterator[Utterance]:
        """Wait for a slot and open an utterance; it is cancelled when the context ends.

        Raises:
            ApiError: If the request cannot be followed, or there is no slot.
        """
        if not self.ready:
            raise ApiError("starting", "the model is being loaded: try again", None, 1.0)
        entry = self.find_voice(request.voice)
        try:
            options = self._options(request, entry.preset)
        except ValueError as error:
            raise ApiError("invalid_value", str(error)) from error
        async with AsyncExitStack() as stack:
            settle = await stack.enter_async_context(self.admission.slot(present_caller().key.name))
            try:
                if request.reference is None:
                    voice = await self.voices.load(entry)
                else:
                    voice = await self.uploads.voice_of(request.reference)
                session = self.tts.open_session(options, voice=voice)
            except ValueError as error:
                raise ApiError("invalid_value", str(error), "voice") from error
            stack.callback(session.cancel)
            pace = self.tts.engine.pace
            utterance = Utterance(
                session, request.max_lead_s, lambda: CAUTION * pace.delay_s, settle
            )
            if not request.live:
                settle()
            loop = asyncio.get_running_loop()
            stack.callback(loop.call_later(WRITING_S, utterance.settle_if_writing).cancel)
            yield utterance

    def _options(self, request: SpeechRequest, preset: Preset) -> SessionOptions:
        changes = {}
        for name in ("temperature", "cfg"):
            values = (getattr(request, name), getattr(preset, name))
            value = next((value for value in values if value is not None), None)
            if value is not None:
                changes[name] = value
        options = SessionOptions(
            decoding=replace(self.tts.default_options, **changes),
            seed=request.seed,
            max_start_delay_s=0.0,
        )
        if not request.live:
            return replace(options, max_lead_s=None)
        return replace(options, max_lead_s=request.max_lead_s or options.max_lead_s)


class Utterance:
    """One utterance: text in, audio out.

    Args:
        session: Speaks.
        max_lead_s: Seconds of audio that may be taken ahead of real time. None: any. A socket takes
            minutes of audio from a sender before it slows it down, and what a listener has not
            heard when he interrupts was made in vain.
        reserve_s: The first audio is held back until there is so much of it, but no longer than it
            then lasts. It is little unless many are spoken to. Asked when the first audio has come:
            of many who start together, each makes the others slower.
        settle: Called when the listener has a reserve of audio.

    Attributes:
        text: The text so far.
        num_samples: Samples taken so far.
        playback: How far the audio is ahead of a player since the text has been complete.
        writing: The same up to then: a player that has nothing to play may wait for the text.
        on_first_audio: Called when the first audio is taken.
    """

    def __init__(
        self,
        session: Session,
        max_lead_s: float | None = None,
        reserve_s: Callable[[], float] = lambda: 0.0,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self._session, self._max_lead_s = session, max_lead_s
        self._reserve_s, self._settle = reserve_s, settle
        self._first_s = 0.0
        self._num_marks: dict[MarkKind, int] = {}
        self._complete = False
        self._fed_s: float | None = None
        self.playback, self.writing = Playback(), Playback()
        self.on_first_audio: Callable[[], None] | None = None
        self.text, self.num_samples = "", 0

    def feed(self, text: str) -> None:
        """Take more of the text."""
        if self._fed_s is None:
            self._fed_s = time.perf_counter()
        self.text += text
        self._session.feed(text)

    def end_segment(self) -> None:
        """Have the text so far said to its end, without waiting for more."""
        self._session.end_segment()

    def flush(self) -> None:
        """Note that the text is complete."""
        self._complete = True
        self._session.flush()

    def settle_if_writing(self) -> None:
        """Let others start if the text is still being written: how fast is for the writer."""
        if not self._complete:
            self._settle()

    @property
    def model_s(self) -> float | None:
        """Seconds from the first text to when the first audio was made. None: it was not taken."""
        ready_s = self._session.first_ready_s
        return None if ready_s is None or self._fed_s is None else ready_s - self._fed_s

    @property
    def seconds(self) -> float:
        """Duration of the audio taken so far."""
        return self.num_samples / self._session.sample_rate

    @property
    def has_marks(self) -> bool:
        """Whether the model tells when its words are said."""
        return self._session.has_marks

    def take_marks(self, kind: MarkKind) -> list[Mark]:
        """The marks of the audio that has been taken, without those that were returned before.

        Call it after each piece of audio, and once at the end.

        Args:
            kind: Of words, or of characters.
        """
        num_marks = self._num_marks.get(kind, 0)
        marks = self._session.marks(kind, num_marks)
        self._num_marks[kind] = num_marks + len(marks)
        return marks

    def heard_text(self, played_s: float) -> str:
        """The text, as it was fed, whose words had begun when so many seconds were played."""
        return self._session.heard_text(played_s)

    async def audio(self) -> AsyncIterator[np.ndarray]:
        """Pieces of audio [S], not further ahead than the listener may be.

        Raises:
            ApiError: If the text cannot be said, or the engine fails.
        """
        try:
            asked_s = time.perf_counter()
            async for piece in self._pieces():
                seconds = len(piece) / self._session.sample_rate
                if not self.playback.has_begun:
                    self.writing.add(seconds, asked_s)
                if self._complete:
                    self.playback.add(seconds, asked_s)
                await self._keep_lead()
                if not self.num_samples:
                    self._first_s = time.perf_counter()
                    if self.on_first_audio is not None:
                        self.on_first_audio()
                self.num_samples += len(piece)
                if self._lead_s() >= RESERVE_S:
                    self._settle()
                yield piece
                asked_s = time.perf_counter()
        except ValueError as error:
            blank = not self.text.strip()
            raise ApiError(
                "text_empty" if blank else "invalid_value", str(error), "input"
            ) from error
        except Exception as error:
            logger.exception("a session failed")
            raise ApiError("engine_failed", "speaking failed: try again", None, 1.0) from error

    async def _pieces(self) -> AsyncIterator[np.ndarray]:
        """The audio; the first pieces come together, so that the listener has a reserve."""
        held: list[np.ndarray] = []
        # The session loses nothing if it is not waited for any longer.
        with suppress(asyncio.TimeoutError, StopAsyncIteration):
            held.append(await anext(self._session))
            reserve_s = self._reserve_s()
            ends_s = time.perf_counter() + reserve_s
            while sum(map(len, held)) < reserve_s * self._session.sample_rate:
                wait_s = max(0.0, ends_s - time.perf_counter())
                held.append(await asyncio.wait_for(anext(self._session), wait_s))
        for piece in held:
            yield piece
        async for piece in self._session:
            yield piece

    def _lead_s(self) -> float:
        """How far the audio is ahead of a player that began with the first piece."""
        return self.seconds - (time.perf_counter() - self._first_s)

    async def _keep_lead(self) -> None:
        if self._max_lead_s is None or not self.num_samples:
            return
        lead_s = self._lead_s()
        if lead_s > self._max_lead_s:
            await asyncio.sleep(lead_s - self._max_lead_s)
