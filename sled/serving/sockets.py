"""WebSockets over which JSON goes: limits, patience, close codes."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from sled.serving.errors import ApiError, ConnectionEnded
from sled.serving.waiting import within

MAX_MESSAGE_CHARS = 128 * 1024
# Close codes: RFC 6455, section 7.4.1, and the registry of IANA.
NORMAL, UNSUPPORTED_DATA, POLICY, TOO_BIG, ENGINE, TRY_LATER = 1000, 1003, 1008, 1009, 1011, 1013


class Close(ConnectionEnded):
    """The connection has to be closed.

    Args:
        code: The close code.
        reason: Why.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class JsonSocket:
    """A WebSocket whose clients send JSON objects, and receive those or bytes.

    Args:
        socket: The WebSocket.
        stall_s: How long a client may take nothing of what is sent.
        max_chars: The longest message.
    """

    def __init__(
        self, socket: WebSocket, stall_s: float, max_chars: int = MAX_MESSAGE_CHARS
    ) -> None:
        self._socket, self._stall_s, self._max_chars = socket, stall_s, max_chars

    async def receive(self, patience_s: float) -> str:
        """The next message; `parse` reads it.

        Args:
            patience_s: How long to wait.

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

    async def send(self, message: dict[str, Any] | bytes) -> None:
        """Send a JSON object, or bytes.

        Raises:
            Close: If the client takes nothing for a long time.
            WebSocketDisconnect: If the connection has ended.
        """
        if isinstance(message, bytes):
            await self._within_patience(self._socket.send_bytes(message))
        else:
            await self._within_patience(self._socket.send_text(json.dumps(message)))

    async def _within_patience(self, sending: Awaitable[None]) -> None:
        try:
            await within(self._stall_s, sending)
        except TimeoutError:
            raise Close(POLICY, f"nothing was taken for {self._stall_s:.0f} s") from None
        except RuntimeError as error:  # sent after the end of the connection
            raise WebSocketDisconnect from error

    async def close(self, close: Close) -> None:
        """Close the connection, unless it is closed already."""
        with suppress(RuntimeError, WebSocketDisconnect):
            await self._socket.close(close.code, close.reason[:120])


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
