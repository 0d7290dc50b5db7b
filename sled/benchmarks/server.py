"""What a server adds to a session: time to the first audio, and to the end when a caller leaves.

Server, clients and the session that is compared are in one process, and one speaks at a time. They
take turns, so that a change of the machine's speed meets all of them.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import numpy as np
from websockets.sync.client import connect

from sled.benchmarks.flags import check_at_least
from sled.benchmarks.report import Report, describe_machine, table
from sled.cli.serve import make_server
from sled.serving.app import make_app
from sled.serving.listening import Listener, uvicorn_config
from sled.serving.server import Server
from sled.serving.service import SpeechRequest
from sled.serving.settings import load_settings
from sled.serving.text_feed import TextFeed
from sled.serving.utterance import Utterance
from sled.tts import TTS

# A caller who leaves does so while much is left to say.
LONG_TEXT_REPEATS = 40
STOP_S = 30.0
POLL_S = 0.0002
# Before the measurement, to have everything loaded.
WARM_UP_ROUNDS = 3


def measure(args: argparse.Namespace) -> Report:
    """Measure as the flags say.

    Raises:
        ValueError: If the model cannot be loaded, or for flags that cannot be used.
    """
    check_at_least(args, 1, "rounds")
    settings = load_settings(model=args.model, port=0)
    server = make_server(settings)
    with _running(server) as address:
        text = args.text or server.greeting
        calls = {"HTTP": _by_http, "WebSocket": _by_socket}
        session_ms: list[float] = []
        first_ms: dict[str, list[float]] = {name: [] for name in calls}
        added_ms: dict[str, list[float]] = {name: [] for name in calls}
        held_ms: dict[str, list[float]] = {name: [] for name in calls}
        with _noting_utterances(server) as utterances:
            for number in range(WARM_UP_ROUNDS + args.rounds):
                counts = number >= WARM_UP_ROUNDS
                seconds = _of_session(server.service.tts, text)
                if counts:
                    session_ms.append(1000 * seconds)
                for name, call in calls.items():
                    seconds = call(address, text)
                    _wait_until_free(server)
                    utterance = utterances.pop()
                    assert utterance.model_s is not None
                    if counts:
                        first_ms[name].append(1000 * seconds)
                        held_ms[name].append(1000 * utterance.held_s)
                        added_s = seconds - utterance.model_s - utterance.held_s
                        added_ms[name].append(1000 * added_s)
        step_ms: list[float] = []
        with _noting_steps(server, step_ms):
            long_text = " ".join([text] * LONG_TEXT_REPEATS)
            free_ms = [1000 * _leave(address, server, long_text) for _ in range(args.rounds)]
    figures = {
        "session_ms": session_ms,
        "first_audio_ms": first_ms,
        "added_ms": added_ms,
        "held_ms": held_ms,
        "free_ms": free_ms,
        "step_ms": step_ms,
    }
    own = {name: value for name, value in vars(args).items() if isinstance(value, str | int)}
    return Report("server", describe_machine(), own, figures, _text(args.rounds, figures))


def _text(rounds: int, figures: dict[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [
        ("", "first audio, ms: median", "p95", "added: median", "p95", "reserve: median", "p95"),
        ("session in process", *_spread(figures["session_ms"], 50, 95), "", "", "", ""),
    ]
    for name, values in figures["first_audio_ms"].items():
        parts = [_spread(figures[part][name], 50, 95) for part in ("added_ms", "held_ms")]
        rows.append((name, *_spread(values, 50, 95), *parts[0], *parts[1]))
    free, step = (_spread(figures[name], 50, 99) for name in ("free_ms", "step_ms"))
    return f"""{table(rows)}

{rounds} calls each, one at a time. Added is what passes in a call while the model does not work for
it: before its text is there, and after its first audio has been made. HTTP opens its connection,
the WebSocket is open. The reserve is not in it: for so long the first audio is held back, so that
a listener does not have to wait for the next; it depends on how fast the machine is.
A slot is free {free[0]} ms (median) and {free[1]} ms (p99) after its caller has hung up; a step
takes {step[0]} ms (median) and {step[1]} ms (p99)."""


def _spread(values: list[float], *percentiles: int) -> tuple[str, ...]:
    return tuple(f"{one:.1f}" for one in np.percentile(values, percentiles))


@contextmanager
def _running(server: Server) -> Iterator[tuple[str, int]]:
    """The server on a thread; yields its address."""
    listener = Listener(uvicorn_config(make_app(server), server.settings), server)
    thread = threading.Thread(target=listener.run, daemon=True)
    thread.start()
    while not server.ready:
        if server.failure is not None:
            raise ValueError(str(server.failure))
        time.sleep(0.01)
    try:
        yield listener.servers[0].sockets[0].getsockname()[:2]
    finally:
        listener.should_exit = True
        thread.join(STOP_S)


@contextmanager
def _noting_utterances(server: Server) -> Iterator[list[Utterance]]:
    """Collect the utterances that the server opens meanwhile."""
    utterances: list[Utterance] = []
    open_utterance = server.open

    @asynccontextmanager
    async def note(
        door: str, request: SpeechRequest, text: TextFeed | None = None
    ) -> AsyncIterator[Utterance]:
        async with open_utterance(door, request, text) as utterance:
            utterances.append(utterance)
            yield utterance

    server.open = note  # type: ignore[method-assign]
    try:
        yield utterances
    finally:
        server.open = open_utterance  # type: ignore[method-assign]


@contextmanager
def _noting_steps(server: Server, step_ms: list[float]) -> Iterator[None]:
    """Note how long the steps of the model take meanwhile."""
    engine = server.service.tts.engine
    before = engine.on_step

    def note(count: int, seconds: float) -> None:
        step_ms.append(1000 * seconds)
        if before is not None:
            before(count, seconds)

    engine.on_step = note
    try:
        yield
    finally:
        engine.on_step = before


def _wait_until_free(server: Server) -> float:
    """Wait until nobody speaks; returns when that was seen."""
    while server.active:
        time.sleep(POLL_S)
    return time.perf_counter()


def _of_session(tts: TTS, text: str) -> float:
    """Seconds to the first audio of a session as the server opens it."""
    begun_s = time.perf_counter()
    with tts.open_session(decoding=tts.default_options, max_start_delay_s=0.0) as session:
        session.feed(text)
        session.flush()
        next(iter(session))
        return time.perf_counter() - begun_s


def _ask(address: tuple[str, int], text: str) -> socket.socket:
    """Send a request; returns its connection when the first audio is there."""
    body = json.dumps({"input": text, "response_format": "pcm", "seed": 0}).encode()
    head = (
        f"POST /v1/audio/speech HTTP/1.1\r\nhost: {address[0]}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(address)
    connection.sendall(head.encode() + body)
    answer = b""
    while True:
        answer += connection.recv(65536)
        head_end = answer.find(b"\r\n\r\n") + 4
        # The body is chunked: the size of the first chunk, a line break, the chunk.
        if head_end > 3 and answer.find(b"\r\n", head_end) > 0:
            break
    if b" 200 " not in answer[:20]:
        raise ValueError(f"the server does not speak: {answer[:1000].decode(errors='replace')}")
    return connection


def _by_http(address: tuple[str, int], text: str) -> float:
    begun_s = time.perf_counter()
    with _ask(address, text):
        return time.perf_counter() - begun_s


def _by_socket(address: tuple[str, int], text: str) -> float:
    url = f"ws://{address[0]}:{address[1]}/v1/audio/speech/stream"
    with connect(url, compression=None) as socket_:
        socket_.send(json.dumps({"type": "session.config", "seed": 0}))
        socket_.recv()
        begun_s = time.perf_counter()
        socket_.send(json.dumps({"type": "input.text", "text": text}))
        socket_.send(json.dumps({"type": "input.done"}))
        while not isinstance(socket_.recv(), bytes):
            pass
        return time.perf_counter() - begun_s


def _leave(address: tuple[str, int], server: Server, text: str) -> float:
    """Seconds from when a caller hangs up until his slot is free."""
    connection = _ask(address, text)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    begun_s = time.perf_counter()
    connection.close()
    return _wait_until_free(server) - begun_s
