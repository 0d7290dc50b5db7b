"""A client of the WebSocket that may break every rule: frames are made by hand."""

from __future__ import annotations

import json
import socket
import struct
import time
from contextlib import suppress
from typing import Any

from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

SMALL_BUFFER = 4096


class Wire:
    """A connection.

    Args:
        url: Address of the socket.

    Attributes:
        messages: What has come, without the audio.
        num_bytes: Bytes of audio that have come.
        closed: Whether the server has ended the connection.
    """

    def __init__(self, url: str) -> None:
        self.messages: list[dict[str, Any]] = []
        self.num_bytes, self.closed = 0, False
        self._parts: list[bytes] = []
        self._is_text, self._is_open = False, False
        self._protocol = ClientProtocol(parse_uri(url), max_size=None)
        uri = self._protocol.uri
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        self._socket.connect((uri.host, uri.port))
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        self.take_until(lambda: self._is_open)

    @property
    def close_code(self) -> int | None:
        """What the server closed with. None: it only hung up, or it has not closed."""
        return None if self._protocol.close_rcvd is None else self._protocol.close_rcvd.code

    # Out.

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            try:
                self._socket.sendall(data)
            except OSError:  # the server has hung up
                self.closed = True

    def send(self, message: Any, cuts: int = 0) -> None:
        """Send JSON in one frame more than there are cuts."""
        self.send_text(json.dumps(message).encode(), cuts)

    def send_text(self, data: bytes, cuts: int = 0) -> None:
        """Send bytes as text, with a ping between the frames."""
        size = max(1, -(-len(data) // (cuts + 1)))
        pieces = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        with suppress(ConnectionClosed):
            self._protocol.send_text(pieces[0], fin=len(pieces) == 1)
            for number, piece in enumerate(pieces[1:], 2):
                self._protocol.send_ping(b"between")
                self._protocol.send_continuation(piece, fin=number == len(pieces))
        self._flush()

    def send_binary(self, data: bytes) -> None:
        """Send bytes."""
        with suppress(ConnectionClosed):
            self._protocol.send_binary(data)
        self._flush()

    def send_raw(self, data: bytes) -> None:
        """Send bytes that are no frame."""
        try:
            self._socket.sendall(data)
        except OSError:
            self.closed = True

    def close(self, code: int) -> None:
        """Say goodbye."""
        with suppress(ConnectionClosed):
            self._protocol.send_close(code)
        self._flush()

    def hang_up(self, *, reset: bool) -> None:
        """Close the connection without a word."""
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    # In.

    def take(self, seconds: float, size: int = 65536) -> bool:
        """Take what has come, at most so many bytes; returns whether anything has."""
        self._socket.settimeout(seconds)
        try:
            data = self._socket.recv(size)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        if data:
            self._protocol.receive_data(data)
        else:
            self.closed = True
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                assert event.status_code == 101
                self._is_open = True
            else:
                assert isinstance(event, Frame)
                self._take_frame(event)
        self._flush()
        return True

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._is_text, self._parts = frame.opcode == Opcode.TEXT, []
        elif frame.opcode != Opcode.CONT:
            return
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return
        if self._is_text:
            self.messages.append(json.loads(b"".join(self._parts)))
        else:
            self.num_bytes += sum(map(len, self._parts))

    def take_until(self, holds: Any, seconds: float = 30.0) -> None:
        """Take until something holds, or the server ends the connection."""
        end = time.monotonic() + seconds
        while not holds() and not self.closed:
            assert time.monotonic() < end, "it never came to hold"
            self.take(0.1)
