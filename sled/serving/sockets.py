"""WebSockets over which JSON goes: limits, patience, close codes."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from sled.serving.errors import ApiError, ConnectionEnded
from sled.serving.server import Server
from sled.serving.waiting import within

logger = logging.getLogger(__name__)

MAX_MESSAGE_CHARS = 128 * 1024
# Close codes: RFC 6455, section 7.4.1, and the registry of IANA.
NORMAL, UNSUPPORTED_DATA, POLICY, TOO_BIG = 1000, 1003, 1008, 1009
ENGINE, RESTART, TRY_LATER = 1011, 1012, 1013


class Close(ConnectionEnded):
    """The connection has to be closed.

    Args:
        code: The close code.
        reason: Why.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class JsonConnection(ABC):
    """A WebSocket whose client sends JSON objects, and receives those or bytes.

    A task receives messages, and another one speaks. The connection ends with the first of them.

    Args:
        socket: The WebSocket.
        server: The server.
        max_chars: The longest message.
    """

    def __init__(
        self, socket: WebSocket, server: Server, max_chars: int = MAX_MESSAGE_CHARS
    ) -> None:
        self._socket, self._server, self._max_chars = socket, server, max_chars
        self._active_s = time.monotonic()  # when a message came, or speech ended
        self._has_ended = False

    async def run(self) -> None:
        """Serve the connection until it ends."""
        await self._socket.accept()
        tasks = [asyncio.ensure_future(one) for one in (self._receive(), self._speak())]
        close = Close(NORMAL)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except Close as error:
            close = error
        except WebSocketDisconnect:
            pass
        except Exception:
            logger.exception("a connection failed")
            close = Close(ENGINE, "internal error")
        finally:
            self._has_ended = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(RuntimeError, WebSocketDisconnect):  # it is closed already
                await self._socket.close(close.code, close.reason[:120])

    # In.

    async def _receive(self) -> None:
        while True:
            try:
                text = await self._next_text(self._patience_s())
            except TimeoutError:
                await self._on_silence()
                continue
            self._active_s = time.monotonic()
            await self._take(text)

    async def _next_text(self, patience_s: float) -> str:
        """The next message.

        Raises:
            TimeoutError: If none comes in time.
            Close: If it is no text, or too long.
            WebSocketDisconnect: If the client has closed the connection.
        """
        message = await within(patience_s, self._socket.receive())
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", NORMAL))
        text: str | None = message.get("text")
        if text is None:
            raise Close(UNSUPPORTED_DATA, "send JSON as text, no binary messages")
        if len(text) > self._max_chars:
            raise Close(TOO_BIG, f"a message has at most {self._max_chars} characters")
        return text

    @abstractmethod
    def _patience_s(self) -> float:
        """How long to wait for the next message, in seconds."""

    @abstractmethod
    async def _on_silence(self) -> None:
        """Do what has to be done when no message has come for so long.

        Raises:
            Close: If the connection ends.
        """

    @abstractmethod
    async def _take(self, text: str) -> None:
        """Do what a message says; `parse` reads it.

        Raises:
            Close: If the connection ends.
        """

    # Out.

    @abstractmethod
    async def _speak(self) -> None:
        """Say what there is to say, until the connection ends.

        Raises:
            Close: If the connection ends.
        """

    async def _send(self, message: dict[str, Any] | bytes) -> None:
        """Send a JSON object, or bytes.

        Raises:
            Close: If the client takes nothing for a long time.
            WebSocketDisconnect: If the connection has ended.
        """
        if isinstance(message, bytes):
            sending = self._socket.send_bytes(message)
        else:
            sending = self._socket.send_text(json.dumps(message))
        stall_s = self._server.settings.stall_s
        try:
            await within(stall_s, sending)
        except TimeoutError:
            raise Close(POLICY, f"nothing was taken for {stall_s:.0f} s") from None
        except RuntimeError as error:  # sent after the end of the connection
            raise WebSocketDisconnect from error


def parse(text: str) -> dict[str, Any]:
    """A message of a client.

    Raises:
        ApiError: `invalid_value` if it is no JSON object.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ApiError("invalid_value", f"a message is a JSON object: {error}") from error
    if not isinstance(message, dict):
        raise ApiError("invalid_value", "a message is a JSON object")
    return message
