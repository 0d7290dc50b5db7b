"""Speech over HTTP: the audio is sent while it is made, as bytes or as events."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from sled.serving.contract import AUDIO_OR_EVENTS
from sled.serving.encoding import AudioEncoder
from sled.serving.errors import ApiError
from sled.serving.marks import check_marks, write_marks
from sled.serving.modes import adapt_to_model
from sled.serving.openai.body import MAX_SEED, SpeechBody
from sled.serving.requests import RequestStack, server_of, speech_headers, unless_left
from sled.serving.server import Server
from sled.serving.service import SpeechRequest
from sled.streaming.marks import Mark, MarkKind

router = APIRouter(prefix="/v1", tags=["speech"])

DOOR = "openai"
KEEP_ALIVE_S = 15.0


@router.post("/audio/speech", response_class=Response, responses=AUDIO_OR_EVENTS)
async def speak(request: Request, body: SpeechBody, stack: RequestStack) -> Response:
    """Speak a text. The audio is sent while it is made."""
    return await respond(request, body, stack)


async def respond(request: Request, body: SpeechBody, stack: AsyncExitStack) -> Response:
    """The answer to a request for speech.

    Args:
        request: The request.
        body: What it asks for.
        stack: Holds the utterance open until the answer has been sent.

    Raises:
        ApiError: If it cannot be followed.
    """
    begun_s = time.perf_counter()
    speech = Encoded(server_of(request), body, stack)
    first = await unless_left(request, speech.begin())
    waited_s, queue_s = time.perf_counter() - begun_s, speech.queue_s
    headers = speech.headers()
    headers["server-timing"] = (
        f"queue;dur={1000 * queue_s:.1f}, model;dur={1000 * speech.model_s:.1f}, "
        f"first;dur={1000 * waited_s:.1f}"
    )
    if body.stream_format == "sse":
        events = speech.events(first)
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)
    if not body.stream:
        audio = await unless_left(request, speech.whole(first))
        return Response(audio, media_type=speech.media_type, headers=headers)
    return StreamingResponse(speech.stream(first), media_type=speech.media_type, headers=headers)


def open_encoder(server: Server, body: SpeechBody, speed: float) -> AudioEncoder:
    """The encoder of a request.

    Raises:
        ApiError: `format_unsupported`.
    """
    rate = server.service.sample_rate
    try:
        return AudioEncoder(body.response_format, rate, body.sample_rate, speed)
    except ValueError as error:
        raise ApiError("format_unsupported", str(error), "sample_rate") from error


class Encoded:
    """An utterance as bytes of a format.

    Args:
        server: The server.
        body: The request.
        stack: Holds the utterance open; closed when the bytes end.

    Attributes:
        seed: Its seed.
        voice: Its voice.
        media_type: The header `content-type`.
        queue_s: How long the request waited for its turn.

    Raises:
        ApiError: If the request cannot be followed.
    """

    def __init__(self, server: Server, body: SpeechBody, stack: AsyncExitStack) -> None:
        self._server, self._body, self._stack = server, body, stack
        with server.counting_refusals(DOOR):
            server.service.check_model(body.model)
            server.check_text(body.input, "input")
            self.voice = server.service.find_voice(body.voice_name())
            adapt_to_model(server.service, body)
            self._marks = check_marks(server.service, body.timestamps, "timestamps")
            if self._marks is not None and body.stream_format != "sse":
                raise ApiError(
                    "invalid_value",
                    "timestamps come as events: set stream_format to sse",
                    "timestamps",
                )
            self._speed = self.voice.pace(body.speed)
            self._encoder = open_encoder(server, body, self._speed)
        self.media_type = self._encoder.media_type
        self.seed = random.randrange(MAX_SEED + 1) if body.seed is None else body.seed
        self._ended = False
        self.queue_s = 0.0

    async def begin(self) -> bytes:
        """Open the utterance; returns its first bytes, so that errors before have a status."""
        start = time.perf_counter()
        body = self._body
        request = SpeechRequest(
            voice=body.voice_name(),
            seed=self.seed,
            temperature=body.temperature,
            cfg=body.cfg,
            reference=body.reference(),
            instruction=body.instruction(),
            live=body.stream,
            speed=self._speed,
        )
        self._utterance = await self._stack.enter_async_context(self._server.open(DOOR, request))
        self.queue_s = time.perf_counter() - start
        self._utterance.feed(body.input)
        self._utterance.flush()
        self._audio = self._utterance.audio()
        async for piece in self._audio:
            if data := self._encoder.encode(piece):
                return data
        self._ended = True
        return self._encoder.finish()

    @property
    def model_s(self) -> float:
        """Seconds from the text to its first audio, the server's own work left out."""
        return self._utterance.model_s or 0.0

    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        ignored = self._body.ignored()
        return speech_headers(self._server.service.name, self.voice.name, self.seed, ignored)

    async def stream(self, first: bytes) -> AsyncGenerator[bytes, None]:
        """The bytes of the stream, from the first ones on."""
        async with self._stack:
            yield first
            if self._ended:
                return
            async for piece in self._audio:
                if data := self._encoder.encode(piece):
                    yield data
            if data := self._encoder.finish():
                yield data
            self._server.count_encoding(self._encoder)

    def take_marks(self, kind: MarkKind) -> list[Mark] | None:
        """The marks of the bytes so far that were not returned before, in seconds of the bytes.

        None if the model cannot tell.

        Args:
            kind: Of words, or of characters.
        """
        if not self._utterance.has_marks:
            return None
        return [
            replace(mark, start_s=mark.start_s / self._speed, end_s=mark.end_s / self._speed)
            for mark in self._utterance.take_marks(kind)
        ]

    async def whole(self, first: bytes) -> bytes:
        """All bytes at once; a WAV file tells its true length."""
        data = b"".join([part async for part in self.stream(first)])
        return self._encoder.with_length(data)

    async def events(self, first: bytes) -> AsyncGenerator[str, None]:
        """The bytes as server-sent events, and a comment when nothing has come for a while."""
        parts = self.stream(first)
        try:
            pending: asyncio.Task[bytes] | None = None
            while True:
                pending = pending or asyncio.ensure_future(anext(parts))
                done, _ = await asyncio.wait({pending}, timeout=KEEP_ALIVE_S)
                if not done:
                    yield ": still speaking\n\n"
                    continue
                try:
                    data = pending.result()
                except StopAsyncIteration:
                    break
                pending = None
                yield event("speech.audio.delta", audio=base64.b64encode(data).decode())
                if self._marks is not None:
                    marks = self._utterance.take_marks(self._marks)
                    if marks:
                        yield event("speech.audio.marks", marks=write_marks(marks, self._speed))
            service, seconds = self._server.service, self._utterance.seconds
            usage = service.usage(self._body.input, seconds)
            yield event("speech.audio.done", usage=usage)
        except ApiError as error:
            yield event("speech.audio.error", **error.body())
        finally:
            if pending is not None and not pending.done():
                pending.cancel()
                await asyncio.gather(pending, return_exceptions=True)
            await parts.aclose()


def event(name: str, **fields: Any) -> str:
    """A server-sent event."""
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n"
