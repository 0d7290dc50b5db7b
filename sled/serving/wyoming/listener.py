"""Listens for connections of the Wyoming protocol."""

from __future__ import annotations

import asyncio
import socket
from asyncio import StreamReader, StreamWriter

from sled.serving.server import Server
from sled.serving.settings import is_loopback
from sled.serving.wyoming.announcement import Announcement
from sled.serving.wyoming.connection import Connection
from sled.serving.wyoming.events import MAX_EVENT_BYTES


class WyomingListener:
    """A port for the Wyoming protocol.

    Args:
        server: The server.

    Attributes:
        address: The host and port.

    Raises:
        ValueError: If the port cannot be used.
    """

    def __init__(self, server: Server) -> None:
        host, port = server.settings.host, server.settings.wyoming_port
        assert port is not None
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            raise ValueError(
                f"--wyoming_port {port} at {host} cannot be used: {error.strerror}"
            ) from error
        self._server = server
        self._listening: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._announcement: Announcement | None = None

    async def start(self) -> None:
        """Accept connections, and let the network know unless only the own machine can connect."""
        self._listening = await asyncio.start_server(
            self._serve, sock=self._socket, limit=MAX_EVENT_BYTES
        )
        if not is_loopback(self.address[0]):
            self._announcement = Announcement(*self.address)
            self._announcement.start()

    async def stop(self) -> None:
        """Refuse new connections and end all others."""
        if self._announcement is not None:
            await self._announcement.stop()
        if self._listening is not None:
            self._listening.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await Connection(reader, writer, self._server).run()
        except asyncio.CancelledError:
            pass  # the server stops; asyncio would log it as an error
        finally:
            self._connections.discard(task)
