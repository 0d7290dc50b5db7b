"""Connections of HTTP, with small buffers and a limit of patience."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

logger = logging.getLogger(__name__)

# What a client has not taken waits in buffers of this size. By default the system buffers minutes
# of audio, and nobody notices that a client has stopped reading.
SEND_BUFFER_BYTES = 16 * 1024


def make_buffers_small(transport: asyncio.WriteTransport) -> None:
    """Let no more than `SEND_BUFFER_BYTES` wait in each buffer of a connection."""
    transport.set_write_buffer_limits(high=SEND_BUFFER_BYTES)
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


class PatientProtocol(H11Protocol):
    """Uvicorn's connection in pure Python, which limits the size of headers.

    A client that takes nothing for `stall_s` is cut off, and so is one that does not send the
    headers of a request within `headers_s`: otherwise a few clients could take all descriptors.
    """

    stall_s: ClassVar[float] = 30.0
    headers_s: ClassVar[float] = 30.0
    _stalled: asyncio.TimerHandle | None = None
    _awaited: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Set the sizes of buffers, and wait for a request."""
        super().connection_made(transport)
        make_buffers_small(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._await_headers()
        else:
            self._forget_headers()

    def pause_writing(self) -> None:
        """Note that the client does not keep up."""
        super().pause_writing()
        self._stalled = asyncio.get_running_loop().call_later(self.stall_s, self._cut_off)

    def resume_writing(self) -> None:
        """Note that the client has taken what waited."""
        self._forget()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone."""
        self._forget()
        self._forget_headers()
        super().connection_lost(exc)

    def _forget(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _await_headers(self) -> None:
        if self._awaited is None:
            loop = asyncio.get_running_loop()
            self._awaited = loop.call_later(self.headers_s, self.transport.abort)

    def _forget_headers(self) -> None:
        if self._awaited is not None:
            self._awaited.cancel()
            self._awaited = None

    def _cut_off(self) -> None:
        logger.warning("a client took nothing for %.0f s: it is cut off", self.stall_s)
        self.transport.abort()


def protocol_with(stall_s: float) -> type[PatientProtocol]:
    """The class of connections that are cut off after so many seconds."""
    return type("Protocol", (PatientProtocol,), {"stall_s": stall_s})
