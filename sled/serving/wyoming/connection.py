"""One connection of the Wyoming protocol.

    client                                      server
    describe                                    info
    synthesize {text, voice}                    audio-start, audio-chunk ..., audio-stop

    synthesize-start {voice}
    synthesize-chunk {text} ...                 audio-start, audio-chunk ...
    synthesize {text}: a copy, ignored
    synthesize-stop                             ... audio-stop, synthesize-stopped

The text of a stream may be cut anywhere, and its audio begins before its end. Events of other types
are ignored. After an error the connection ends: some clients wait for nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass
from typing import Any

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, Eventable, async_write_event
from wyoming.info import Describe
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
)

from sled.serving.caller import Caller, set_caller
from sled.serving.encoding import AudioEncoder
from sled.serving.errors import ApiError, ConnectionEnded
from sled.serving.protocol import make_buffers_small
from sled.serving.server import Server
from sled.serving.service import SpeechRequest
from sled.serving.text_feed import TextFeed
from sled.serving.utterance import Utterance
from sled.serving.waiting import within
from sled.serving.wyoming.description import describe
from sled.serving.wyoming.events import MalformedEvent, read_event

logger = logging.getLogger(__name__)

DOOR = "wyoming"
# The protocol has no seeds. Homes want the same announcement to sound the same.
SEED = 0
WIDTH, CHANNELS = 2, 1
# Utterances that a client may have asked for and not heard.
MAX_QUEUED = 16


@dataclass(eq=False)
class QueuedUtterance:
    """An utterance that a client has asked for.

    Attributes:
        text: Its text.
        voice: Name of the voice. None: the model's own.
        is_stream: Whether its text comes in pieces.
    """

    text: TextFeed
    voice: str | None
    is_stream: bool


class Connection:
    """Receives events and says one utterance after the other.

    Args:
        reader: Where events come from.
        writer: Where they go.
        server: The server.
    """

    def __init__(self, reader: StreamReader, writer: StreamWriter, server: Server) -> None:
        self._reader, self._writer, self._server = reader, writer, server
        make_buffers_small(writer.transport)
        self._queue: asyncio.Queue[QueuedUtterance] = asyncio.Queue()
        self._open: QueuedUtterance | None = None  # takes text
        self._num_unsaid = 0
        self._active_s = time.monotonic()
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        """Serve the connection until it ends."""
        set_caller(Caller(f"req_{secrets.token_hex(12)}"))
        tasks = [asyncio.ensure_future(one) for one in (self._receive(), self._speak())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except MalformedEvent as error:
            logger.warning("a Wyoming client is cut off: %s", error)
        except (ConnectionEnded, OSError):
            pass
        except Exception:
            logger.exception("a Wyoming connection failed")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._writer.close()

    # In.

    async def _receive(self) -> None:
        while (event := await self._next_event()) is not None:
            self._active_s = time.monotonic()
            try:
                await self._handle(event)
            except ApiError as error:
                await self._fail(error)

    async def _next_event(self) -> Event | None:
        """The next event; a part of it that has come is not lost while nothing more comes."""
        reading = asyncio.ensure_future(read_event(self._reader))
        try:
            while True:
                await asyncio.wait({reading}, timeout=self._patience_s())
                if reading.done():
                    return reading.result()
                self._on_silence()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _patience_s(self) -> float:
        """How long to wait for the next event."""
        settings, now = self._server.settings, time.monotonic()
        if self._open is not None:
            return max(0.0, self._open.text.came_s + settings.text_timeout_s - now)
        if self._num_unsaid:
            return settings.idle_s
        return max(0.0, self._active_s + settings.idle_s - now)

    def _on_silence(self) -> None:
        if self._open is not None:
            logger.warning("no more text came: the utterance is ended")
            self._open.text.finish()
            self._open = None
        elif not self._num_unsaid:
            raise ConnectionEnded

    async def _handle(self, event: Event) -> None:
        kind = event.type
        if Describe.is_type(kind):
            await self._send(describe(self._server.voice_names))
        elif Ping.is_type(kind):
            text = event.data.get("text")
            known = text.encode(errors="replace").decode() if isinstance(text, str) else None
            await self._send(Pong(known))
        elif SynthesizeStart.is_type(kind):
            self._finish()
            self._open = self._new_utterance(event, is_stream=True)
            self._enqueue(self._open)
        elif SynthesizeChunk.is_type(kind):
            if self._open is not None:
                self._open.text.feed(_text(event))
        elif SynthesizeStop.is_type(kind):
            self._finish()
        elif Synthesize.is_type(kind) and self._open is None:
            text = _text(event)
            queued = self._new_utterance(event, is_stream=False)
            queued.text.feed(text)
            queued.text.finish()
            self._enqueue(queued)

    def _new_utterance(self, event: Event, *, is_stream: bool) -> QueuedUtterance:
        voice = event.data.get("voice")
        name = voice.get("name") if isinstance(voice, dict) else None
        if not isinstance(name, str | None):
            raise ApiError("invalid_value", "the name of a voice is a string", "voice")
        return QueuedUtterance(TextFeed(self._server.settings.max_input_chars), name, is_stream)

    def _enqueue(self, queued: QueuedUtterance) -> None:
        if self._num_unsaid == MAX_QUEUED:
            raise ApiError("invalid_value", f"at most {MAX_QUEUED} texts may wait: hear them first")
        self._queue.put_nowait(queued)
        self._num_unsaid += 1

    def _finish(self) -> None:
        if self._open is not None:
            self._open.text.finish()
            self._open = None

    # Out.

    async def _speak(self) -> None:
        while True:
            queued = await self._queue.get()
            try:
                await self._say(queued)
            except ApiError as error:
                if queued.text.has_words or error.code != "text_empty":
                    await self._fail(error)
                await self._send(AudioStop())
            if queued.is_stream:
                await self._send(SynthesizeStopped())
            self._num_unsaid -= 1
            self._active_s = time.monotonic()

    async def _say(self, queued: QueuedUtterance) -> None:
        server = self._server
        request = SpeechRequest(
            voice=queued.voice,
            seed=SEED,
            max_lead_s=server.settings.max_lead_s if queued.is_stream else None,
            speed=server.service.find_voice(queued.voice).pace(1.0),
        )
        async with server.open(DOOR, request, queued.text) as utterance:
            await self._send_speech(utterance, queued)

    async def _send_speech(self, utterance: Utterance, queued: QueuedUtterance) -> None:
        service = self._server.service
        rate, speed = service.sample_rate, service.find_voice(queued.voice).pace(1.0)
        encoder, num_bytes = AudioEncoder("pcm", rate, None, speed), 0
        await self._send(AudioStart(rate, WIDTH, CHANNELS, timestamp=0))
        async for piece in utterance.audio():
            num_bytes += await self._send_chunk(encoder.encode(piece), rate, num_bytes)
        num_bytes += await self._send_chunk(encoder.finish(), rate, num_bytes)
        await self._send(AudioStop(timestamp=_milliseconds(num_bytes, rate)))
        self._server.count_encoding(encoder)

    async def _send_chunk(self, data: bytes, rate: int, num_bytes: int) -> int:
        """Send audio that follows so many bytes; returns its length."""
        if data:
            timestamp = _milliseconds(num_bytes, rate)
            await self._send(AudioChunk(rate, WIDTH, CHANNELS, data, timestamp))
        return len(data)

    async def _fail(self, error: ApiError) -> None:
        await self._send(Error(error.message, error.code))
        raise ConnectionEnded

    async def _send(self, message: Eventable) -> None:
        """Send an event, unless the client takes nothing for a long time."""
        stall_s = self._server.settings.stall_s
        async with self._writing:
            try:
                await within(stall_s, async_write_event(message.event(), self._writer))
            except TimeoutError:
                logger.warning("a Wyoming client took nothing for %.0f s", stall_s)
                self._writer.transport.abort()
                raise ConnectionEnded from None
            except RuntimeError as error:  # uvloop's, after the end of the connection
                raise ConnectionEnded from error


def _milliseconds(num_bytes: int, rate: int) -> int:
    """The duration of samples."""
    return round(1000 * num_bytes / (WIDTH * CHANNELS * rate))


def _text(event: Event) -> str:
    text: Any = event.data.get("text")
    if not isinstance(text, str):
        raise ApiError("invalid_value", f"the event {event.type} needs a text", "text")
    return text
