"""ElevenLabs' WebSockets: text goes in piece by piece, audio comes out in JSON as it is made.

`stream-input` says one text and ends:

    client                                    server
    {"text": " ", "voice_settings": {...}}
    {"text": "The ker"}, {"text": "nel "}     {"audio": ..., "alignment": {...}}, ...
    {"text": "is ready", "flush": true}       ... up to here
    {"text": ""}                              ... {"isFinal": true}, and the connection is closed

`multi-stream-input` says several at a time. Its messages name the text with `context_id`:

    {"close_context": true}: a text that was flushed is said to its end, any other stops at once
    {"close_context": true} once more: it stops at once
    {"text": ""}: the text is not forgotten, though nothing comes
    {"close_socket": true}: all are closed, and then the connection
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from sled.serving.caller import Caller, set_caller
from sled.serving.elevenlabs.context import DOOR, Context
from sled.serving.elevenlabs.formats import open_encoder
from sled.serving.elevenlabs.messages import (
    MAX_SEED,
    MAX_TIMEOUT_S,
    MODEL_PREFIX,
    ClientMessage,
    Query,
    error_message,
    final_message,
    read_message,
    read_query,
)
from sled.serving.errors import ApiError
from sled.serving.server import Server
from sled.serving.service import SpeechRequest
from sled.serving.sockets import NORMAL, POLICY, TRY_LATER, Close, JsonConnection, parse
from sled.serving.text_feed import TextFeed

logger = logging.getLogger(__name__)
router = APIRouter()

# Texts of a connection that are open or being said.
MAX_CONTEXTS = 16
# A connection without a key has to give one within this time.
KEY_TIMEOUT_S = 10.0


class Connection(JsonConnection):
    """One connection: each text has a task that says it.

    Args:
        socket: The WebSocket.
        server: The server.
        voice: Name of the voice.
        is_multi: Whether texts are named, and the connection goes on after each.
    """

    def __init__(self, socket: WebSocket, server: Server, voice: str, *, is_multi: bool) -> None:
        super().__init__(socket, server)
        self._voice, self._is_multi = voice, is_multi
        self._query = Query()
        with suppress(ApiError):  # the answer to the first message tells what is wrong with it
            self._query = read_query(dict(socket.query_params))
        self._is_checked = False
        self._contexts: set[Context] = set()  # that have not ended
        self._open: dict[str | None, Context] = {}  # those that take text
        self._has_begun = False  # the only text
        self._ends_when_said = False  # all texts that are open
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def _speak(self) -> None:
        try:
            await self._end
        finally:
            tasks = [one.task for one in self._contexts if one.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _finish(self, reason: Exception) -> None:
        """End the connection."""
        if not self._end.done():
            self._end.set_exception(reason)

    # In.

    async def _take(self, text: str) -> None:
        context_id = None
        try:
            message = read_message(parse(text))
            context_id = message.context_id
            if not self._is_checked:
                self._check(message)
                self._is_checked = True
            if self._is_multi:
                self._handle(message)
            else:
                self._handle_single(message)
        except ApiError as error:
            await self._on_error(error, context_id)

    def _check(self, message: ClientMessage) -> None:
        """Check what is known with the first message.

        Raises:
            ApiError: If the client may not speak, or the address is wrong.
        """
        scope, server = self._socket.scope, self._server
        if scope.get("needs_key"):
            key = server.keys.find(message.given_key, (scope.get("client") or ("",))[0])
            set_caller(Caller(scope.get("request_id", ""), key))
            with server.counting_refusals(DOOR):
                server.check_open(key)
        self._query = read_query(dict(self._socket.query_params))
        model = self._query.model_id
        if model is not None and not model.startswith(MODEL_PREFIX):
            server.service.check_model(model)
        server.service.find_voice(self._voice)
        open_encoder(self._query.output_format, server.service.sample_rate)

    def _handle_single(self, message: ClientMessage) -> None:
        context = self._open.get(None)
        if context is None:
            if self._has_begun:
                return  # the text was complete, or has failed
            self._has_begun = True
            context = self._open_context(message, None)
        self._feed(context, message)
        if message.text == "":
            self._close_context(context, cancels=False)

    def _handle(self, message: ClientMessage) -> None:
        name = message.context_id
        context = self._open.get(name)
        if message.close_socket:
            self._close_all()
        elif message.close_context:
            if context is not None:
                self._close_context(context, cancels=not context.is_flushed)
            else:
                for one in self._contexts:
                    if one.name == name:
                        one.cancel()
        elif context is not None:
            self._feed(context, message)
        elif message.text:
            self._feed(self._open_context(message, name), message)

    def _open_context(self, message: ClientMessage, name: str | None) -> Context:
        """Begin a text with its first message.

        Raises:
            ApiError: If there are too many, or the settings are impossible.
        """
        if self._ends_when_said:
            raise ApiError("invalid_value", "the connection is being closed", "text")
        if sum(not one.cancelled for one in self._contexts) >= MAX_CONTEXTS:
            raise ApiError(
                "too_many_sessions",
                f"a connection has at most {MAX_CONTEXTS} contexts: close one",
                "context_id",
            )
        settings, query, server = message.voice_settings, self._query, self._server
        speed = 1.0 if settings is None or settings.speed is None else settings.speed
        speed = server.service.find_voice(self._voice).pace(speed)
        context = Context(
            name,
            TextFeed(server.settings.max_input_chars),
            SpeechRequest(
                voice=self._voice,
                seed=random.randrange(MAX_SEED + 1) if query.seed is None else query.seed,
                max_lead_s=server.settings.max_lead_s,
                speed=speed,
            ),
            open_encoder(query.output_format, server.service.sample_rate, speed),
            speed,
            query.sync_alignment,
            query.auto_mode,
        )
        before = {one.task for one in self._contexts if one.name == name and one.task is not None}
        context.task = asyncio.ensure_future(self._say(context, before))
        self._open[name] = context
        self._contexts.add(context)
        return context

    def _feed(self, context: Context, message: ClientMessage) -> None:
        text = message.text or ""
        if text == " " and not context.text.num_chars:
            text = ""  # is how a text begins
        context.feed(text)
        if message.flush:
            context.flush()

    def _close_context(self, context: Context, *, cancels: bool) -> None:
        """Take no more text."""
        del self._open[context.name]
        if cancels:
            context.cancel()
        else:
            context.text.finish()

    def _close_all(self) -> None:
        self._ends_when_said = True
        for context in list(self._open.values()):
            self._close_context(context, cancels=not context.is_flushed)
        if not self._contexts:
            raise Close(NORMAL)

    # Silence.

    @property
    def _timeout_s(self) -> float:
        """How long a client may be silent."""
        if not self._is_checked and self._socket.scope.get("needs_key"):
            return KEY_TIMEOUT_S
        return min(self._query.inactivity_timeout, MAX_TIMEOUT_S)

    def _patience_s(self) -> float:
        """How long to wait for the next message."""
        now = time.monotonic()
        if self._open:
            since = min(context.text.came_s for context in self._open.values())
            return max(0.0, since + self._timeout_s - now)
        if self._contexts:
            return self._timeout_s
        return max(0.0, self._active_s + self._timeout_s - now)

    async def _on_silence(self) -> None:
        now = time.monotonic()
        for context in list(self._open.values()):
            if context.text.came_s + self._timeout_s <= now:
                logger.warning("no more text came: the text is taken as complete")
                self._close_context(context, cancels=False)
        if not self._contexts and self._active_s + self._timeout_s <= now:
            error = ApiError("input_timeout_exceeded", f"no message for {self._timeout_s:g} s")
            await self._send(error_message(error, POLICY))
            raise Close(POLICY, error.code)

    # Out.

    async def _say(self, context: Context, before: set[asyncio.Task[None]]) -> None:
        """Say a text, and tell that it has ended.

        Args:
            context: The text.
            before: What says earlier texts of its name.
        """
        try:
            error = await self._say_until_end(context, before)
            if error is not None:
                await self._on_error(error, context.name)
            await self._send_of(context, final_message())
            if not self._is_multi or (self._ends_when_said and not self._contexts):
                self._finish(Close(NORMAL))
        except (Close, WebSocketDisconnect) as end:
            self._finish(end)
        except Exception as fault:
            self._finish(fault)

    async def _say_until_end(
        self, context: Context, before: set[asyncio.Task[None]]
    ) -> ApiError | None:
        try:
            if before:
                await asyncio.wait(before)
            await context.say(self._server, self._send_of)
        except ApiError as error:
            return error if context.text.has_words or error.code != "text_empty" else None
        except asyncio.CancelledError:
            if not context.cancelled or self._end.done():
                raise
        finally:
            self._active_s = time.monotonic()
            self._contexts.discard(context)
            if self._open.get(context.name) is context:
                del self._open[context.name]
        return None

    async def _on_error(self, error: ApiError, context_id: str | None) -> None:
        """Tell an error; the connection goes on only if it has several texts."""
        code = TRY_LATER if error.status in (429, 503) else POLICY
        message = error_message(error, code)
        if self._is_multi:
            message["contextId"] = context_id
        await self._send(message)
        if not self._is_multi or not self._is_checked:
            raise Close(code, error.code)

    async def _send_of(self, context: Context, message: dict[str, Any]) -> None:
        if self._is_multi:
            message["contextId"] = context.name
        await self._send(message)


@router.websocket("/v1/text-to-speech/{voice}/stream-input")
async def stream_input(socket: WebSocket, voice: str) -> None:
    """Say one text; see the module."""
    await Connection(socket, socket.app.state.server, voice, is_multi=False).run()


@router.websocket("/v1/text-to-speech/{voice}/multi-stream-input")
async def multi_stream_input(socket: WebSocket, voice: str) -> None:
    """Say several texts; see the module."""
    await Connection(socket, socket.app.state.server, voice, is_multi=True).run()
