"""Runs the application with uvicorn, and stops it without cutting anybody off."""

from __future__ import annotations

import json
import shlex
import socket
import time
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.types import ASGIApp

from sled.serving.protocol import protocol_with
from sled.serving.server import Server
from sled.serving.settings import ServerSettings
from sled.serving.watchdog import Watchdog

if TYPE_CHECKING:
    from sled.serving.wyoming.listener import WyomingListener


# The largest message of a WebSocket: settings with a recording.
MAX_MESSAGE_BYTES = 4 << 20
# Connections get so long to close after their sessions have ended.
SECONDS_TO_STOP = 5


def uvicorn_config(app: ASGIApp, settings: ServerSettings, **changes: Any) -> uvicorn.Config:
    """How uvicorn is to serve an application.

    Args:
        app: The application.
        settings: The settings of the server.
        **changes: Other arguments of `uvicorn.Config`.
    """
    arguments: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "http": protocol_with(settings.stall_s),
        "log_config": None,
        "log_level": "warning",
        "ws_max_size": MAX_MESSAGE_BYTES,
        # Audio does not shrink, and each connection would need memory.
        "ws_per_message_deflate": False,
        "timeout_graceful_shutdown": SECONDS_TO_STOP,
        "server_header": False,
    }
    return uvicorn.Config(app, **(arguments | changes))


class Listener(uvicorn.Server):
    """Uvicorn, which lets sessions end first when it is told to stop.

    Uvicorn itself closes all sockets at once. Here the first signal makes the server refuse new
    sessions; it stops when the others have ended, or after the time that the settings allow. A
    second signal stops it at once.

    Args:
        config: Settings of uvicorn.
        server: The server.

    Attributes:
        wyoming: The port for the Wyoming protocol. None: there is none.

    Raises:
        ValueError: If the port cannot be used.
    """

    def __init__(self, config: uvicorn.Config, server: Server) -> None:
        super().__init__(config)
        self._server = server
        self.wyoming: WyomingListener | None = None
        if server.settings.wyoming_port is not None:
            from sled.serving.wyoming.listener import WyomingListener  # needs an extra

            self.wyoming = WyomingListener(server)
        self._watchdog = Watchdog(server)
        self._greeted = False
        self._stop_at_s: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal to stop."""
        if self._stop_at_s is not None or not self.started:
            super().handle_exit(sig, frame)
            self.force_exit = True  # else uvicorn waits for connections
            return
        self._stop_at_s = time.monotonic() + self._server.settings.drain_s
        self._server.refuse_new()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        self._watchdog.start()
        await super().startup(sockets)
        if self.wyoming is not None:
            await self.wyoming.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and end the connections."""
        if self.wyoming is not None:
            await self.wyoming.stop()
        await super().shutdown(sockets)
        self._watchdog.stop()

    async def on_tick(self, counter: int) -> bool:
        """Check whether to stop; called ten times a second."""
        self._watchdog.tick()
        if self._server.failure is not None:
            self.should_exit = True
        if self._server.ready and not self._greeted:
            self._greeted = True
            print(self._greeting(), flush=True)
        if self._stop_at_s is not None:
            late = time.monotonic() >= self._stop_at_s
            self.should_exit = self.should_exit or late or not self._server.active
        return await super().on_tick(counter)

    def _greeting(self) -> str:
        """What whoever started the server wants to know."""
        service, config = self._server.service, self.config
        port = self.servers[0].sockets[0].getsockname()[1]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        example = json.dumps({"input": self._server.greeting})
        needs_key = self._server.keys.needed
        key = " -H 'authorization: Bearer KEY'" if needs_key else ""
        wyoming = []
        if self.wyoming is not None:
            wyoming = ["Home Assistant: Wyoming at {}, port {}".format(*self.wyoming.address)]
        return "\n".join(
            (
                f"listening at {url}, where a browser gets a page that speaks while you type",
                f"documentation of the API: {url}/docs" + (", with a key" if needs_key else ""),
                *wyoming,
                f"voices: {', '.join(service.voices)}",
                f"capacity: {service.admission.capacity()} callers at a time, as measured now",
                f"try: curl {url}/v1/audio/speech{key} -H 'content-type: application/json' "
                f"-d {shlex.quote(example)} -o speech.mp3",
            )
        )


def listen(config: uvicorn.Config, server: Server) -> None:
    """Serve until the process is told to stop, or the model cannot be loaded."""
    Listener(config, server).run()
