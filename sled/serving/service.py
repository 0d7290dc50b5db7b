"""The model as the server's APIs use it: requests in, utterances out.

Each API has a folder beside this file, a *door* in the server's log and metrics. It translates a
wire format and never touches the engine: it opens an utterance here, feeds it text and takes its
audio.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from sled.files.allocator import keep_for_good
from sled.serving.admission import Admission
from sled.serving.caller import present_caller
from sled.serving.errors import ApiError
from sled.serving.settings import ServerSettings
from sled.serving.utterance import Utterance
from sled.serving.voices.library import VoiceEntry
from sled.serving.voices.presets import Preset, read_presets
from sled.serving.voices.uploads import Reference, Uploads
from sled.streaming.options import SessionOptions
from sled.streaming.voice import Voice
from sled.text.tokenizer import normalize_spaces
from sled.tts import TTS

MODEL_ALIASES = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
# While a step lasts longer than this, `/health` fails. The watchdog waits longer before it acts.
UNHEALTHY_STEP_S = 5.0
# At the start this many sessions speak at once, to see how long steps take. Callers wait for it.
CALIBRATION = (1, 4)
CALIBRATION_FRAMES = 24
# A session whose text is still being written counts as started after this time, see `Admission`:
# how fast its audio comes is then up to the writer.
MAX_STARTING_S = 0.5
# The first audio is held back until it lasts this many times as long as the time that recently
# passed between two pieces of a session's audio.
RESERVE_FACTOR = 2.0


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
        instruction: What the model reads in the place of the voice's recording, see `Prompt`.
        live: Whether somebody may be listening while the audio is made. If not, the speech rests
            while others are short of audio.
        speed: Factor by which the listener hears it faster.
    """

    voice: str | None = None
    seed: int = 0
    temperature: float | None = None
    cfg: float | None = None
    max_lead_s: float | None = None
    reference: Reference | None = None
    instruction: str | None = None
    live: bool = True
    speed: float = 1.0


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
        return self.tts.engine.step_running_s < UNHEALTHY_STEP_S

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

    def usage(self, text: str, seconds: float) -> dict[str, int]:
        """How many tokens were read and spoken, as OpenAI counts; of speech, frames are counted.

        Args:
            text: What was said.
            seconds: How long it took.
        """
        said = text.encode(errors="replace").decode()  # without halves of surrogate pairs
        tokens = len(self.tts.tokenizer.encode(normalize_spaces(said)))
        frames = round(seconds * self.tts.codec.frame_rate)
        counts = {"input_tokens": tokens, "output_tokens": frames}
        return counts | {"total_tokens": tokens + frames}

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
            owner = present_caller().key.name
            try:
                voice: Voice | None = None
                if request.reference is not None:  # takes seconds, in which others may start
                    self.admission.check_open(owner)
                    voice = await self.uploads.voice_of(request.reference, request.instruction)
                note_started = await stack.enter_async_context(self.admission.slot(owner))
                if request.reference is None:
                    voice = await self.voices.load(entry, request.instruction)
                session = self.tts.open_session(options, voice=voice)
            except ValueError as error:
                param = "instructions" if request.instruction else "voice"
                raise ApiError("invalid_value", str(error), param) from error
            stack.callback(session.cancel)
            pace = self.tts.engine.pace
            utterance = Utterance(
                session,
                request.max_lead_s,
                lambda: RESERVE_FACTOR * pace.delay_s,
                note_started,
                request.speed,
            )
            if not request.live:
                note_started()
            timer = asyncio.get_running_loop().call_later(
                MAX_STARTING_S, utterance.note_started_if_writing
            )
            stack.callback(timer.cancel)
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
            playback_speed=request.speed,
        )
        if not request.live:
            return replace(options, max_lead_s=None)
        return replace(options, max_lead_s=request.max_lead_s or options.max_lead_s)
