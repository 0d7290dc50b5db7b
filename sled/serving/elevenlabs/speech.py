"""ElevenLabs' speech over HTTP: bytes of audio, or JSON with the times of its characters."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from sled.serving.elevenlabs.alignment import Aligner, Alignment, concatenate
from sled.serving.elevenlabs.context import DOOR
from sled.serving.elevenlabs.formats import DEFAULT, open_encoder
from sled.serving.elevenlabs.messages import MAX_SEED, MODEL_PREFIX, VoiceSettings
from sled.serving.encoding import AudioEncoder
from sled.serving.marks import check_marks
from sled.serving.requests import RequestStack, server_of, speech_headers, unless_left
from sled.serving.server import Server
from sled.serving.service import SpeechRequest

router = APIRouter(prefix="/v1/text-to-speech/{voice_id}", tags=["ElevenLabs"])

AUDIO: dict[int | str, dict[str, Any]] = {200: {"content": {"audio/mpeg": {}}}}


class SpeechBody(BaseModel):
    """The body of a request; other fields are accepted, without effect."""

    model_config = ConfigDict(extra="allow", protected_namespaces=(), allow_inf_nan=False)

    text: str = Field(description="text to speak")
    model_id: str | None = Field(None, description="the model; ElevenLabs' names stand for it")
    voice_settings: VoiceSettings | None = Field(None, description="of these, speed has an effect")
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = Field(
        None, description="the same seed says the same text in the same way; unset: a new one"
    )

    def speed(self) -> float:
        """How much faster the speech shall be."""
        settings = self.voice_settings
        return 1.0 if settings is None or settings.speed is None else settings.speed

    def ignored(self) -> list[str]:
        """Fields that are set and have no effect."""
        settings = {} if self.voice_settings is None else self.voice_settings.model_extra or {}
        names = [*(self.model_extra or {}), *(f"voice_settings.{name}" for name in settings)]
        return [name for name in names if name.isprintable()]


@dataclass(frozen=True)
class Part:
    """A part of the answer.

    Attributes:
        data: Bytes of audio.
        alignment: When the characters are said whose words have ended with it.
    """

    data: bytes
    alignment: Alignment | None

    def content(self) -> dict[str, Any]:
        """As JSON."""
        alignment = None if self.alignment is None else self.alignment.in_seconds()
        return {
            "audio_base64": base64.b64encode(self.data).decode(),
            "alignment": alignment,
            "normalized_alignment": alignment,
        }


class Answer:
    """The answer to a request, from its first part on.

    Args:
        server: The server.
        text: What to say.
        request: How it is said.
        encoder: Encodes the audio.
        speed: Factor by which it makes the speech faster.
    """

    def __init__(
        self,
        server: Server,
        text: str,
        request: SpeechRequest,
        encoder: AudioEncoder,
        speed: float,
    ) -> None:
        self._server, self._text, self._request = server, text, request
        self._encoder, self._speed = encoder, speed
        self._parts = self._say()
        self._first: Part | None = None

    async def begin(self) -> None:
        """Wait for the first part, so that errors before it have a status.

        Raises:
            ApiError: If the text cannot be said.
        """
        self._first = await anext(self._parts)

    async def parts(self) -> AsyncGenerator[Part, None]:
        """All parts."""
        assert self._first is not None
        yield self._first
        async for part in self._parts:
            yield part

    async def whole(self) -> Part:
        """All parts as one."""
        parts = [part async for part in self.parts()]
        alignments = [part.alignment for part in parts if part.alignment is not None]
        alignment = concatenate(alignments) if alignments else None
        return Part(b"".join(part.data for part in parts), alignment)

    async def end(self) -> None:
        """Speak no more."""
        await self._parts.aclose()

    async def _say(self) -> AsyncGenerator[Part, None]:
        server, encoder = self._server, self._encoder
        async with server.open(DOOR, self._request) as utterance:
            utterance.feed(self._text)
            utterance.flush()
            aligner = Aligner(utterance, self._speed)
            async for piece in utterance.audio():
                part = Part(encoder.encode(piece), aligner.take())
                if part.data or part.alignment is not None:
                    yield part
            yield Part(encoder.finish(), aligner.take(ended=True))
            server.count_encoding(encoder)


@dataclass(frozen=True)
class SpeechCall:
    """A request for speech, with what its path and query say.

    Attributes:
        request: The request.
        body: Its body.
        voice_id: The voice.
        output_format: See `formats`.
        stack: Holds the utterance open until the answer has been sent.
    """

    request: Request
    body: SpeechBody
    voice_id: str
    output_format: str
    stack: AsyncExitStack

    async def begin(
        self, *, timed: bool = False, live: bool = True
    ) -> tuple[Answer, AudioEncoder, dict[str, str]]:
        """Begin to speak.

        Args:
            timed: Whether the times of characters are wanted.
            live: Whether the audio is sent while it is made.

        Returns:
            The answer, its encoder and its headers.

        Raises:
            ApiError: If the request cannot be followed.
        """
        begun_s, body = time.perf_counter(), self.body
        server = server_of(self.request)
        service = server.service
        with server.counting_refusals(DOOR):
            if body.model_id is not None and not body.model_id.startswith(MODEL_PREFIX):
                service.check_model(body.model_id)
            server.check_text(body.text, "text")
            check_marks(service, "character" if timed else "none", "with-timestamps")
            voice = service.find_voice(self.voice_id)
            speed = voice.pace(body.speed())
            encoder = open_encoder(self.output_format, service.sample_rate, speed)
        seed = random.randrange(MAX_SEED + 1) if body.seed is None else body.seed
        how = SpeechRequest(voice=self.voice_id, seed=seed, live=live, speed=speed)
        answer = Answer(server, body.text, how, encoder, speed)
        self.stack.push_async_callback(answer.end)
        await unless_left(self.request, answer.begin())
        headers = speech_headers(service.name, voice.name, seed, body.ignored()) | {
            "request-id": self.request.scope.get("request_id", ""),
            "server-timing": f"first;dur={1000 * (time.perf_counter() - begun_s):.1f}",
        }
        return answer, encoder, headers


def _call(
    request: Request,
    body: SpeechBody,
    voice_id: str,
    stack: RequestStack,
    output_format: Annotated[
        str, Query(description="format, sample rate in Hz, and kbit/s")
    ] = DEFAULT,
) -> SpeechCall:
    return SpeechCall(request, body, voice_id, output_format, stack)


Call = Annotated[SpeechCall, Depends(_call)]


@router.post("", responses=AUDIO)
@router.post("/stream", responses=AUDIO)
async def speak(call: Call) -> Response:
    """Speak a text. The audio is sent while it is made."""
    answer, encoder, headers = await call.begin()
    data = (part.data async for part in answer.parts())
    return StreamingResponse(data, media_type=encoder.media_type, headers=headers)


@router.post("/with-timestamps")
async def speak_with_timestamps(call: Call) -> Response:
    """Speak a text, and tell when its characters are said."""
    answer, _, headers = await call.begin(timed=True, live=False)
    whole = await unless_left(call.request, answer.whole())
    return JSONResponse(whole.content(), headers=headers)


@router.post("/stream/with-timestamps")
async def stream_with_timestamps(call: Call) -> Response:
    """Speak a text, as lines of JSON that also tell when its characters are said."""
    answer, _, headers = await call.begin(timed=True)
    lines = (json.dumps(part.content()) + "\n" async for part in answer.parts())
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)
