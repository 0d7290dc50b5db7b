"""Makes voices of recordings that clients send, if their speakers agree."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeVar

import numpy as np

from sled.serving.caller import present_caller
from sled.serving.errors import ApiError
from sled.serving.voices.consents import Consent, Consents
from sled.serving.voices.library import VoiceEntry, VoiceLibrary, make_record
from sled.serving.voices.presets import Preset
from sled.serving.voices.samples import Sample, decode_sample
from sled.streaming.segment_budget import PromptTooLongError
from sled.streaming.voice import Prompt, Voice
from sled.streaming.voice_maker import UnsupportedModeError
from sled.transcribe import load_recognizer
from sled.tts import TTS

logger = logging.getLogger(__name__)
T = TypeVar("T")

ConsentPolicy = Literal["attest", "recording", "off"]
CONSENTS_FOLDER = "consents"
# Longest words of a recording, and longest statement of consent.
MAX_WORDS_CHARS, MAX_CONSENT_CHARS = 4096, 2000
# Uploads that wait for the present one. Each holds its file in memory.
MAX_WAITING = 8
# Voices of single requests that are kept for the next ones.
MAX_KEPT = 8


@dataclass(frozen=True)
class Reference:
    """A recording to be continued.

    Attributes:
        data: The file.
        text: Its transcript. None: it is recognised, if that extra is installed.
        consent: A statement that the speaker agrees, or the id of a recorded consent.
        param: The field that holds the recording.
    """

    data: bytes
    text: str | None
    consent: str | None
    param: str


class Uploads:
    """Makes voices of recordings, one at a time.

    Args:
        tts: The model.
        own: Name of the model's own voice.
        folder: Keeps voice files and consents. None: uploads are kept until the server ends.
        presets: Names that stand for a voice and settings.
        policy: How a speaker has to agree: by a statement of whoever uploads the recording
            (`attest`), by a recording (`recording`), or not (`off`).

    Attributes:
        library: The voices.
        consents: The recorded consents.
        policy: See above.

    Raises:
        ValueError: If a preset names no voice.
    """

    def __init__(
        self,
        tts: TTS,
        own: str,
        folder: Path | None,
        presets: dict[str, Preset],
        policy: ConsentPolicy,
    ) -> None:
        if folder is None:
            self._temporary = TemporaryDirectory(prefix="sled-voices-")
            folder = Path(self._temporary.name)
        self._tts, self.policy = tts, policy
        self.library = VoiceLibrary(tts, own, folder, presets)
        self.consents = Consents(folder / CONSENTS_FOLDER)
        self._turn = asyncio.Lock()
        self._work: set[asyncio.Task[Any]] = set()
        self._kept: OrderedDict[str, Voice] = OrderedDict()

    async def add_voice(
        self, name: str, reference: Reference, language: str, description: str
    ) -> VoiceEntry:
        """Make a voice that stays.

        Raises:
            ApiError: If its name is taken, nobody agrees, or the recording cannot be used.
        """
        self.library.check_name(name)
        consent = self._check_consent(reference)

        async def make() -> VoiceEntry:
            self.library.check_name(name)  # it may have been taken meanwhile
            sample, voice = await self._make(reference)
            record = make_record(
                name, present_caller().key.name, consent, sample.digest, language, description
            )
            entry = await asyncio.to_thread(self.library.save, voice, record)
            self.library.add(entry)
            try:
                self._check_consent(reference)  # it may have been deleted meanwhile
            except ApiError:
                self.library.remove(entry)
                raise
            return entry

        return await self._in_turn(make)

    async def voice_of(self, reference: Reference, instruction: str | None = None) -> Voice:
        """A voice for a single request.

        Args:
            reference: The recording.
            instruction: What the model reads in its place, see `Prompt`.

        Raises:
            ApiError: If nobody agrees, or the recording cannot be used.
        """
        self._check_consent(reference)
        key = hashlib.sha256(reference.data).hexdigest() + repr((reference.text, instruction))
        if (kept := self._kept.get(key)) is not None:
            return kept

        async def make() -> Voice:
            voice = self._kept.pop(key, None)
            if voice is None:
                sample, voice = await self._make(reference, instruction)
                logger.info(
                    "a voice was made for one request with key %r, recording %s",
                    present_caller().key.name,
                    sample.digest,
                )
            self._kept[key] = voice
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
            return voice

        return await self._in_turn(make)

    async def convert(
        self,
        recording: bytes,
        param: str,
        voice: Voice | Reference,
        slot: AbstractAsyncContextManager[None],
    ) -> np.ndarray:
        """Say a recording with another voice; it is not begun if the caller has left by then.

        Args:
            recording: A file with what is said.
            param: The field that holds it.
            voice: The voice, or a recording of it.
            slot: Held while it computes.

        Returns:
            [S] the speech, at the rate of the codec.

        Raises:
            ApiError: If nobody agrees to the use of the voice, or a recording cannot be used.
        """
        wanted = True
        if isinstance(voice, Reference):
            self._check_consent(voice)

        async def convert() -> np.ndarray:
            if not wanted:
                raise asyncio.CancelledError("the client has left")
            async with slot:
                return await self._convert(recording, param, voice)

        try:
            return await self._in_turn(convert)
        except asyncio.CancelledError:
            wanted = False
            raise

    async def _convert(self, recording: bytes, param: str, voice: Voice | Reference) -> np.ndarray:
        sample = await asyncio.to_thread(decode_sample, recording, param)
        other: Prompt | Voice
        if isinstance(voice, Voice):
            other = voice
        else:
            given = await asyncio.to_thread(decode_sample, voice.data, voice.param)
            other = Prompt(None, given.audio, sample_rate=given.sample_rate)
        with _told_as(param):
            work = partial(self._tts.convert, sample.audio, other, sample.sample_rate)
            audio: np.ndarray = await asyncio.to_thread(work)
        logger.info(
            "a recording was said with another voice, with key %r, recording %s",
            present_caller().key.name,
            sample.digest,
        )
        return audio

    async def add_consent(self, name: str, language: str, recording: bytes) -> Consent:
        """Keep a recorded consent.

        Raises:
            ApiError: If the recording cannot be used or kept.
        """

        async def keep() -> Consent:
            sample = await asyncio.to_thread(decode_sample, recording, "recording")
            key = present_caller().key.name
            add = partial(self.consents.add, name, language, key, recording, sample.digest)
            return await asyncio.to_thread(add)

        return await self._in_turn(keep)

    def remove_voice(self, entry: VoiceEntry) -> None:
        """Delete an uploaded voice; sessions that speak with it go on.

        Raises:
            ApiError: `permission_denied` if it was not uploaded, or with another key.
        """
        if entry.record is None or entry.record.key != present_caller().key.name:
            raise ApiError(
                "permission_denied", f"voice {entry.name!r} was not uploaded with this key"
            )
        self.library.remove(entry)

    def remove_consent(self, consent: Consent) -> None:
        """Delete a recorded consent, and the voices that were made with it."""
        for entry in self.library.uploaded:
            if entry.record is not None and entry.record.consent == consent.id:
                self.library.remove(entry)
        self.consents.remove(consent)

    def _check_consent(self, reference: Reference) -> str:
        """The consent of a recording.

        Raises:
            ApiError: `consent_required`.
        """
        given = (reference.consent or "").strip()
        if self.policy == "attest" and not given:
            raise ApiError(
                "consent_required",
                "say in `consent` that the speaker agrees to this use of their voice",
                "consent",
            )
        if self.policy == "recording":
            try:
                self.consents.find(given, present_caller().key.name)
            except ApiError:
                raise ApiError(
                    "consent_required",
                    "give in `consent` the id of a consent from /v1/audio/voice_consents",
                    "consent",
                ) from None
        return given

    async def _in_turn(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do some work when no other is done.

        It goes on when its caller leaves: threads cannot be stopped, and callers who leave at once
        must not start many.

        Raises:
            ApiError: `at_capacity` if much work waits.
        """
        if len(self._work) > MAX_WAITING:
            raise ApiError("at_capacity", "many voices are being made: try again", None, 2.0)

        async def run() -> T:
            async with self._turn:
                return await work()

        task = asyncio.create_task(run())
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return await asyncio.shield(task)

    async def _make(
        self, reference: Reference, instruction: str | None = None
    ) -> tuple[Sample, Voice]:
        param = reference.param
        sample = await asyncio.to_thread(decode_sample, reference.data, param)
        text: str | None = None
        if instruction is None:
            text = (reference.text or "").strip()
            text = text or await asyncio.to_thread(self._recognise, sample, param)
        with _told_as(param):
            prompt = Prompt(text, sample.audio, sample_rate=sample.sample_rate)
            make = self._tts.make_voice
            return sample, await asyncio.to_thread(make, prompt, instruction=instruction)

    def _recognise(self, sample: Sample, param: str) -> str:
        """The words of a recording.

        Raises:
            ApiError: `missing_transcript` if they are not recognised.
        """
        prompt = Prompt(None, sample.audio, sample_rate=sample.sample_rate)
        missing = f"give the words that are spoken in {param} as `ref_text`: "
        try:
            load_recognizer()
        except ValueError as error:  # what to install is for whoever runs the server
            logger.warning("a recording came without its words: %s", error)
            missing += "this server cannot recognise them"
            raise ApiError("missing_transcript", missing, "ref_text") from error
        try:
            return self._tts.transcribe(prompt)
        except ValueError as error:
            raise ApiError("missing_transcript", f"{missing}{error}", "ref_text") from error


@contextmanager
def _told_as(param: str) -> Iterator[None]:
    """Tell the client why a recording cannot be used.

    Args:
        param: The field that holds it.

    Raises:
        ApiError: `prompt_too_long`, `mode_unsupported`, or `invalid_value`.
    """
    try:
        yield
    except PromptTooLongError as error:
        raise ApiError("prompt_too_long", str(error), param) from error
    except UnsupportedModeError as error:
        raise ApiError("mode_unsupported", str(error), param) from error
    except ValueError as error:
        raise ApiError("invalid_value", f"{param}: {error}", param) from error
