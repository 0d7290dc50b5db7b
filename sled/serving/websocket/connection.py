"""Speech over a WebSocket: text goes in piece by piece, audio comes out as it is made.

The names of the messages are those of vLLM-Omni's socket. A connection says any number of
utterances, one after the other:

    client                                     server
    {"type": "session.config", ...}            {"type": "session.created", ...}
    {"type": "input.text", "text": "The ker"}
    {"type": "input.text", "text": "nel"}      {"type": "audio.start", ...}, then audio (binary)
    {"type": "input.done"}                     {"type": "audio.done"}, {"type": "session.done"}

Audio begins before `input.done`. `response.cancel` ends an utterance at once.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
import time
from typing import Any

from fastapi import APIRouter, WebSocket
from pydantic import ValidationError

from sled.serving.encoding import AudioEncoder
from sled.serving.errors import ApiError, describe_problem
from sled.serving.marks import check_marks, write_marks, write_timestamps
from sled.serving.modes import adapt_to_model
from sled.serving.openai.body import MAX_SEED
from sled.serving.openai.speech import open_encoder
from sled.serving.server import Server
from sled.serving.service import SpeechRequest
from sled.serving.sockets import (
    MAX_MESSAGE_CHARS,
    NORMAL,
    POLICY,
    RESTART,
    TOO_BIG,
    TRY_LATER,
    Close,
    JsonConnection,
    parse,
)
from sled.serving.text_feed import TextFeed
from sled.serving.utterance import Utterance
from sled.serving.websocket.messages import (
    FATAL,
    QueuedUtterance,
    SocketConfig,
    error_message,
    read_played_ms,
)

logger = logging.getLogger(__name__)
router = APIRouter()

DOOR = "socket"
CONFIG_TIMEOUT_S = 10.0
# Utterances of a connection that may wait for those before them.
MAX_QUEUED = 16
# Settings may hold a recording.
MAX_CONFIG_CHARS = 4 << 20


class Connection(JsonConnection):
    """One connection: utterances are said one after the other.

    Args:
        socket: The WebSocket.
        server: The server.
    """

    def __init__(self, socket: WebSocket, server: Server) -> None:
        super().__init__(socket, server, MAX_CONFIG_CHARS)
        self._config: SocketConfig | None = None
        self._queue: asyncio.Queue[QueuedUtterance] = asyncio.Queue()
        self._open: QueuedUtterance | None = None  # takes text
        self._current: QueuedUtterance | None = None  # is being said
        self._speaking: asyncio.Task[None] | None = None
        self._num_utterances = 0

    # In.

    async def _take(self, text: str) -> None:
        try:
            await self._handle(self._parse(text))
        except ApiError as error:
            await self._send_error(error)

    def _parse(self, text: str) -> dict[str, Any]:
        """A message, unless it is too long.

        Raises:
            ApiError: If it is no message.
            Close: If it is too long.
        """
        message = parse(text)
        if len(text) > MAX_MESSAGE_CHARS and message.get("type") != "session.config":
            raise Close(TOO_BIG, f"a message has at most {MAX_MESSAGE_CHARS} characters")
        return message

    def _patience_s(self) -> float:
        """How long to wait for the next message."""
        now = time.monotonic()
        settings = self._server.settings
        if self._config is None:
            return max(0.0, self._active_s + CONFIG_TIMEOUT_S - now)
        if self._open is not None:
            return max(0.0, self._open.text.came_s + settings.text_timeout_s - now)
        if self._current is not None:
            return settings.idle_s
        return max(0.0, self._active_s + settings.idle_s - now)

    async def _on_silence(self) -> None:
        if self._config is None:
            raise Close(POLICY, f"no session.config within {CONFIG_TIMEOUT_S:.0f} s")
        if self._open is not None:
            logger.warning("no more text came: the utterance is ended")
            self._open.text.finish()
            self._open = None
        elif self._current is None and self._queue.empty():
            raise Close(NORMAL, f"idle for {self._server.settings.idle_s:.0f} s")

    async def _handle(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "session.config":
            await self._configure(message)
        elif kind == "input.text":
            self._take_text(message.get("text"))
        elif kind == "input.done":
            if self._open is None:
                raise ApiError("text_empty", "input.done without any input.text before it")
            self._open.text.finish()
            self._open = None
        elif kind == "response.cancel":
            self._cancel(read_played_ms(message))
        elif kind == "ping":
            await self._send({"type": "pong"})
        elif kind == "session.close":
            raise Close(NORMAL)
        else:
            raise ApiError("invalid_value", f"unknown message type {kind!r}", "type")

    async def _configure(self, message: dict[str, Any]) -> None:
        if self._open is not None and self._open.text.ended:
            self._open = None
        if self._open is not None or self._current is not None or not self._queue.empty():
            raise ApiError("invalid_value", "session.config comes between utterances only", "type")
        try:
            config = SocketConfig.model_validate(message)
        except ValidationError as error:
            problem, param = describe_problem(error.errors()[0])
            raise ApiError("invalid_value", problem, param) from error
        service = self._server.service
        service.check_model(config.model)
        voice = service.find_voice(config.voice_name())
        encoder = self._encoder(config)
        adapt_to_model(service, config)
        check_marks(service, config.marks, "marks")
        check_marks(service, "word" if config.word_timestamps else "none", "word_timestamps")
        self._config = config
        await self._send(
            {
                "type": "session.created",
                "session_id": self._socket.scope.get("request_id"),
                "sample_rate": encoder.sample_rate,
                "model": service.name,
                "voice": voice.name,
                "ignored": config.ignored(),
            }
        )

    def _speed(self, config: SocketConfig) -> float:
        return self._server.service.find_voice(config.voice_name()).pace(config.speed)

    def _encoder(self, config: SocketConfig) -> AudioEncoder:
        return open_encoder(self._server, config, self._speed(config))

    def _take_text(self, text: Any) -> None:
        if self._config is None:
            raise ApiError("invalid_value", "send session.config first", "type")
        if not isinstance(text, str):
            raise ApiError("invalid_value", "text must be a string", "text")
        if self._open is None:
            if self._queue.qsize() >= MAX_QUEUED:
                raise ApiError(
                    "too_many_sessions",
                    f"{MAX_QUEUED} utterances wait already: send more when some have been said",
                    None,
                    1.0,
                )
            feed = TextFeed(self._server.settings.max_input_chars)
            self._open = QueuedUtterance(
                self._num_utterances, self._config, feed, self._speed(self._config)
            )
            self._num_utterances += 1
            self._queue.put_nowait(self._open)
        self._open.text.feed(text)

    def _cancel(self, played_ms: float | None) -> None:
        """End the utterance that is being said, and drop those that wait."""
        self._open = None
        while not self._queue.empty():
            self._queue.get_nowait()
        if self._current is not None and self._speaking is not None:
            self._current.cancelled, self._current.played_ms = True, played_ms
            self._speaking.cancel()

    # Out.

    async def _speak(self) -> None:
        while True:
            queued = self._current = await self._queue.get()
            self._speaking = asyncio.ensure_future(self._say(queued))
            error: ApiError | None = None
            try:
                await self._speaking
            except ApiError as problem:
                error = problem
            except asyncio.CancelledError:
                if self._has_ended:
                    self._speaking.cancel()
                    await asyncio.gather(self._speaking, return_exceptions=True)
                    raise
            self._active_s = time.monotonic()
            self._current = None
            await self._conclude(queued, error)

    async def _conclude(self, queued: QueuedUtterance, error: ApiError | None) -> None:
        if error is not None:
            await self._send_error(error, partial_audio=queued.num_bytes > 0)
        seconds = 0.0 if queued.utterance is None else queued.utterance.seconds
        done: dict[str, Any] = {
            "utterance_index": queued.index,
            "sentence_index": 0,
            "cancelled": queued.cancelled,
            "error": error is not None,
            "audio_ms": round(1000 * seconds / queued.speed),
            "total_bytes": queued.num_bytes,
        }
        if queued.utterance is not None:
            done["usage"] = self._server.service.usage(queued.utterance.text, seconds)
        if (heard_text := queued.heard_text) is not None:
            done["heard_text"] = heard_text
        await self._send({"type": "audio.done", **done})
        await self._send(
            {"type": "session.done", "utterance_index": queued.index, "total_sentences": 1}
        )
        if error is not None and error.code in FATAL:
            raise Close(RESTART if error.code == "draining" else TRY_LATER, error.message)

    async def _say(self, queued: QueuedUtterance) -> None:
        server, config = self._server, queued.config
        live = config.stream_audio  # else nobody hears it before all of it has been made
        request = SpeechRequest(
            voice=config.voice_name(),
            seed=random.randrange(MAX_SEED + 1) if config.seed is None else config.seed,
            temperature=config.temperature,
            cfg=config.cfg,
            max_lead_s=config.max_lead_s or server.settings.max_lead_s if live else None,
            reference=config.reference(),
            instruction=config.instruction(),
            live=live,
            speed=queued.speed,
        )
        async with server.open(DOOR, request, queued.text) as utterance:
            queued.utterance = utterance
            await self._send_speech(queued, utterance)

    async def _send_speech(self, queued: QueuedUtterance, utterance: Utterance) -> None:
        encoder, started = self._encoder(queued.config), False
        waiting: list[bytes] = []
        async for piece in utterance.audio():
            data = encoder.encode(piece)
            if not started:
                started = True
                await self._send_start(queued, encoder)
            if queued.config.stream_audio:
                await self._send_audio(queued, data)
            else:
                waiting.append(data)
        await self._send_audio(queued, b"".join((*waiting, encoder.finish())), last=True)
        self._server.count_encoding(encoder)

    async def _send_start(self, queued: QueuedUtterance, encoder: AudioEncoder) -> None:
        assert queued.utterance is not None
        start = {
            "utterance_index": queued.index,
            "sentence_index": 0,
            "sentence_text": queued.utterance.text,
            "format": encoder.format.name,
            "sample_rate": encoder.sample_rate,
            "channels": 1,
        }
        await self._send({"type": "audio.start", **start})

    async def _send_audio(
        self, queued: QueuedUtterance, data: bytes, *, last: bool = False
    ) -> None:
        """Send audio, and the marks that have come with it."""
        config, utterance = queued.config, queued.utterance
        assert utterance is not None
        by_words = config.word_timestamps or config.marks == "word"
        marks = words = utterance.take_marks("word") if by_words else []
        if config.marks != "word":
            marks = utterance.take_marks("character") if config.marks == "character" else []
        queued.num_bytes += len(data)
        if config.word_timestamps:
            if data or words or last:
                chunk = {
                    "chunk_id": queued.num_chunks,
                    "audio_b64": base64.b64encode(data).decode(),
                    "timestamps": write_timestamps(words, queued.speed),
                }
                queued.num_chunks += 1
                await self._send({"type": "audio.chunk", **chunk})
        elif data:
            await self._send(data)
        if marks:
            await self._send({"type": "audio.marks", "marks": write_marks(marks, queued.speed)})

    async def _send_error(self, error: ApiError, *, partial_audio: bool = False) -> None:
        await self._send(error_message(error, partial_audio))


@router.websocket("/v1/audio/speech/stream")
async def speech_stream(socket: WebSocket) -> None:
    """Serve a connection; see the module."""
    await Connection(socket, socket.app.state.server).run()
