"""A server with a tiny model, listening at a port of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from sled.serving.app import make_app
from sled.serving.listening import Listener, uvicorn_config
from sled.serving.server import Server
from sled.serving.service import SpeechService
from sled.serving.settings import load_settings
from sled.tts import TTS
from tests.debug import (
    debug_codec,
    debug_marked_codec,
    debug_marked_model,
    debug_model,
    debug_tokenizer,
)

NAME = "tiny"
SIZES = {"stream_n": 2, "stream_m": 8, "min_frames_per_token": 4.0, "max_frames_per_token": 8.0}


def tiny_tts() -> TTS:
    """Speaks some hundred milliseconds a token."""
    model = debug_model(**SIZES, max_position_embeddings=2048)
    return TTS(model, debug_tokenizer(), debug_codec())


@dataclass
class Running:
    """A server that runs in a thread."""

    url: str
    server: Server
    listener: Listener
    thread: threading.Thread

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws") + "/v1/audio/speech/stream"

    def wait_until(self, holds: Callable[[], bool], seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "it never came to hold"
            time.sleep(0.01)


def marked_tts() -> TTS:
    """The same, and it tells when its words are said."""
    model = debug_marked_model(**SIZES, max_position_embeddings=2048)
    return TTS(model, debug_tokenizer(), debug_marked_codec())


def start(
    options: Mapping[str, Any] | None = None,
    tts: TTS | None = None,
    name: str = NAME,
    loaded: threading.Event | None = None,
    **flags: Any,
) -> Running:
    """Start a server, with options of uvicorn and a model.

    It is ready, unless its model is being loaded until an event.
    """
    settings = load_settings(**({"port": 0, "max_load": 1e9, "max_starting": 1000} | flags))

    def load() -> SpeechService:
        if loaded is not None:
            loaded.wait()
        return SpeechService(tts or tiny_tts(), name, settings)

    server = Server(settings, load, "four two", name)
    config = uvicorn_config(make_app(server), settings, **(options or {}))
    listener = Listener(config, server)
    thread = threading.Thread(target=listener.run, daemon=True)
    thread.start()
    running = Running("", server, listener, thread)
    running.wait_until(lambda: listener.started)
    scheme = "https" if config.is_ssl else "http"
    running.url = f"{scheme}://127.0.0.1:{listener.servers[0].sockets[0].getsockname()[1]}"
    if loaded is None:
        running.wait_until(lambda: server.ready)
    return running


def stop(running: Running) -> None:
    running.listener.should_exit = True
    running.thread.join(timeout=20)
    assert not running.thread.is_alive()


@pytest.fixture(scope="package")
def served() -> Iterator[Running]:
    """A server that admits everybody."""
    running = start()
    yield running
    stop(running)


@pytest.fixture(scope="package")
def marked() -> Iterator[Running]:
    """A server whose model tells when its words are said."""
    running = start(tts=marked_tts())
    yield running
    stop(running)


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    """Starts servers with other settings."""
    all_running = []

    def begin(**flags: Any) -> Running:
        all_running.append(start(**flags))
        return all_running[-1]

    yield begin
    for running in all_running:
        stop(running)


@pytest.fixture
def client(served: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=60) as one:
        yield one
