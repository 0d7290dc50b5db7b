"""The server in operation: its log, its watchdog, clients that stop reading, and its end."""

import asyncio
import gc
import io
import json
import logging
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import websockets
from starlette.websockets import WebSocketDisconnect

from sled.files import allocator
from sled.serving import watchdog
from sled.serving.app import make_app
from sled.serving.caller import Caller, set_caller
from sled.serving.keys import Key
from sled.serving.logs import HumanFormatter, JsonFormatter, configure_logging
from sled.serving.protocol import PatientProtocol
from sled.serving.server import Server
from sled.serving.service import SpeechRequest, SpeechService
from sled.serving.settings import load_settings
from sled.serving.sockets import Close
from sled.serving.watchdog import Watchdog
from tests.serving.conftest import NAME, Running, start, stop
from tests.serving.openai.test_speech import TEXT, ask, pcm
from tests.serving.test_guard import BODY
from tests.serving.websocket.test_connection import DONE, call, text
from tests.serving.websocket.wire import Wire

# The log.


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is written as JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("sled")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(level)


SECRET = "seven nine eight"
TOLD = {"input": f"{SECRET} four", "response_format": "pcm"}


def speak_in_all_ways(running: Running) -> None:
    """Utterances that succeed and that fail, with the same words."""
    client = httpx.Client(base_url=running.url, headers={"x-request-id": "mine"}, timeout=60)
    assert client.post("/v1/audio/speech", json=TOLD).status_code == 200
    assert client.post("/v1/audio/speech", json=TOLD | {"voice": "nobody"}).status_code == 400
    assert client.post("/v1/audio/speech", json=TOLD | {"speed": 99}).status_code == 400

    async def run() -> None:
        async with call(running) as caller:
            await caller.send(text(SECRET), DONE)
            await caller.utterance()

    asyncio.run(run())


def test_lines_name_the_request_and_never_the_text(served: Running, log: io.StringIO) -> None:
    speak_in_all_ways(served)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    ends = [line for line in lines if "door" in line]
    assert [(line["door"], line["code"]) for line in ends] == [
        ("openai", "ok"),
        ("openai", "voice_not_found"),
        ("socket", "ok"),
    ]
    assert [line["request_id"] for line in ends[:2]] == ["mine", "mine"]
    assert ends[2]["request_id"].startswith("req_")
    assert ends[0]["audio_s"] > 0.1
    for word in SECRET.split():
        assert word not in log.getvalue()


def test_texts_are_logged_if_that_is_wanted(
    serve: Callable[..., Running], log: io.StringIO
) -> None:
    speak_in_all_ways(serve(log_text=True))
    assert log.getvalue().count(SECRET) == 2 * 2  # in the message and in the field


def test_formats_of_lines() -> None:
    def record() -> logging.LogRecord:
        try:
            raise RuntimeError("broken")
        except RuntimeError as error:
            return logging.LogRecord(
                "sled.x", logging.ERROR, "f", 1, "it is\n%s", ("wrong",), (type(error), error, None)
            )

    set_caller(Caller("req_1", Key("kiosk")))
    line = JsonFormatter().format(record())
    assert "\n" not in line
    read = json.loads(line)
    assert (read["level"], read["request_id"], read["key"]) == ("error", "req_1", "kiosk")
    assert "RuntimeError: broken" in read["exception"]
    assert HumanFormatter().format(record()).endswith("[req_1]")
    set_caller(Caller())
    assert not HumanFormatter().format(record()).endswith("]")


@contextmanager
def written_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """The log, as whoever started the server sees it."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging("human")
    try:
        yield stream
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def test_text_that_is_not_utf_8_leaves_no_trace_in_the_log(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with written_log(monkeypatch) as log:
        wire = Wire(served.socket_url)
        wire.send_text(b"\xff")
        wire.take_until(lambda: False)
        served.wait_until(lambda: bool(log.getvalue()))  # it may come after the close frame
    assert wire.close_code == 1007
    wire.hang_up(reset=False)
    (line,) = log.getvalue().splitlines()
    assert "WARNING Invalid UTF-8" in line


def test_a_refused_handshake_is_no_error_in_the_log(
    serve: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = serve(keys=["secret"])

    async def knock() -> None:
        with pytest.raises(websockets.InvalidStatus, match="401"):
            await websockets.connect(running.socket_url)

    with written_log(monkeypatch) as log:
        asyncio.run(knock())
        stop(running)  # all that it has to say has been said
    assert "ERROR" not in log.getvalue()


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_leaves_is_no_error_in_the_log(
    served: Running, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    body = {"input": TEXT * 50, "response_format": "pcm", "stream": streamed}
    with written_log(monkeypatch) as log, httpx.Client(base_url=served.url) as client:
        if streamed:
            with client.stream("POST", "/v1/audio/speech", json=body) as answer:
                next(answer.iter_bytes())
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/audio/speech", json=body, timeout=0.2)
        served.wait_until(lambda: "cancelled" in log.getvalue())
        time.sleep(0.1)  # uvicorn would write later than that
    assert "ERROR" not in log.getvalue()


def test_the_example_at_the_start_is_a_command_for_this_model(served: Running) -> None:
    (line,) = [
        one for one in served.listener._greeting().splitlines() if one.startswith("try: curl ")
    ]
    words = shlex.split(line.removeprefix("try: "))
    assert json.loads(words[words.index("-d") + 1]) == {"input": served.server.greeting}
    assert words[1] == f"{served.url}/v1/audio/speech"


def test_the_address_at_the_start_can_be_opened(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for host in ("::1", "::"):
        monkeypatch.setattr(served.listener.config, "host", host)
        assert " http://[::1]:" in served.listener._greeting()


# Memory.

ALLOCATE = """
import ctypes, platform, runpy, sys, threading
if platform.libc_ver()[0] != "glibc":
    sys.exit()
if "limited" in sys.argv:
    runpy.run_path(sys.argv[1])["keep_one_arena"]()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(8)
def allocate():
    libc.malloc(1000)
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
for one in threads: one.start()
for one in threads: one.join()
libc.stdout = ctypes.c_void_p.in_dll(libc, "stdout")
libc.malloc_info(0, libc.stdout)
libc.fflush(libc.stdout)
"""


def test_threads_share_one_arena() -> None:
    command = [sys.executable, "-c", ALLOCATE, allocator.__file__]
    usual, limited = (
        subprocess.run([*command, *more], capture_output=True, text=True, check=True).stdout
        for more in ([], ["limited"])
    )
    assert usual.count("<heap ") > 1 or not usual
    assert limited.count("<heap ") == (1 if usual else 0)


def test_the_garbage_collector_leaves_alone_what_was_loaded(served: Running) -> None:
    """Looking at all of it would stop a server that speaks for 0.1 s."""
    assert gc.get_freeze_count() > len(gc.get_objects())


def test_freed_memory_is_given_back_when_nobody_speaks_any_more(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, given = iter([0, 2, 1, 1, 0, 0, 0]), []
    active = [0]

    def give() -> None:
        given.append(active[0])

    class Clock:
        def wait(self, seconds: float) -> bool:
            active[0] = next(looked, -1)
            return active[0] < 0

    monkeypatch.setattr(watchdog, "return_memory", give)
    monkeypatch.setattr(type(served.server), "active", property(lambda _: active[0]))
    dog = Watchdog(served.server)
    monkeypatch.setattr(dog, "_stopped", Clock())
    dog._watch()
    assert given == [0]
    allocator.return_memory()


# What is stuck.


def test_a_stuck_engine_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not the engine of a running server: its own watchdog would end the tests."""
    server, ended = SimpleNamespace(step_running_s=0.0, active=1), threading.Event()
    monkeypatch.setattr(watchdog, "LOOK_S", 0.01)
    dog = Watchdog(server, ended.set)  # type: ignore[arg-type]
    assert dog.reason() is None
    dog.start()
    server.step_running_s = 31.0
    assert ended.wait(10)
    dog.stop()
    assert "a step of the engine" in caplog.text


def test_a_stuck_event_loop_ends_the_process(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    dog = Watchdog(served.server, lambda: None)
    monkeypatch.setattr(dog, "_ticked_s", time.monotonic() - 31)
    assert "event loop" in (dog.reason() or "")
    dog.tick()
    assert dog.reason() is None


def test_a_step_that_fails_once_is_tried_again(
    served: Running, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = pcm(ask(client).content)
    decoder = type(served.server.service.tts.engine.decoder)
    step, num_steps = decoder.step, [0]

    def failing(self: object) -> object:
        num_steps[0] += 1
        if num_steps[0] in (4, 9):
            raise RuntimeError("injected")
        return step(self)

    monkeypatch.setattr(decoder, "step", failing)
    answer = ask(client)
    assert num_steps[0] > 9
    np.testing.assert_allclose(pcm(answer.content), expected, atol=1)


# Statuses of what is the server's own fault.


def failure(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["type"], error["code"]


def test_while_the_model_is_loading() -> None:
    loaded = threading.Event()
    running = start(loaded=loaded)
    try:
        for path in ("/v1/audio/speech", f"/v1/text-to-speech/{NAME}", "/v1/audio/speech/batch"):
            answer = httpx.post(running.url + path, json=BODY | {"text": "four", "items": [BODY]})
            assert answer.status_code == 503
            assert "starting" in answer.text
        answer = httpx.post(f"{running.url}/v1/audio/speech", json=BODY)
        assert failure(answer) == (503, "server_error", "starting")
        assert answer.headers["retry-after-ms"] == "1000"
        assert httpx.get(f"{running.url}/health").status_code == 200
        assert httpx.get(f"{running.url}/ready").status_code == 503
        loaded.set()
        running.wait_until(lambda: running.server.ready)
        assert httpx.post(f"{running.url}/v1/audio/speech", json=BODY).status_code == 200
    finally:
        loaded.set()
        stop(running)


def test_a_model_that_cannot_be_loaded() -> None:
    def load() -> SpeechService:
        raise ValueError("no such file")

    async def run() -> None:
        server = Server(load_settings(), load, "four", NAME)
        await server.start()
        transport = httpx.ASGITransport(make_app(server))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.post("/v1/audio/speech", json=BODY)
            assert failure(answer) == (503, "server_error", "engine_failed")
            assert "no such file" in answer.json()["error"]["message"]
            assert (await client.get("/health")).status_code == 503

    asyncio.run(run())


@pytest.mark.parametrize("error", [KeyError("layers"), ValueError("there is no model x")])
def test_only_a_fault_that_is_not_expected_is_logged_with_its_place(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def load() -> SpeechService:
        raise error

    asyncio.run(Server(load_settings(), load, "four", NAME).start())
    (record,) = [one for one in caplog.records if "could not be loaded" in one.message]
    assert bool(record.exc_info) == isinstance(error, KeyError)


def test_an_utterance_whose_steps_fail_ends_alone(
    served: Running, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = pcm(ask(client, input=TEXT * 5).content)
    decoder = type(served.server.service.tts.engine.decoder)
    step = decoder.step

    def failing(self: Any) -> object:
        if any(one.options.temperature == 0.5 for one in self.utterances):
            raise RuntimeError("injected")
        return step(self)

    monkeypatch.setattr(decoder, "step", failing)
    with ThreadPoolExecutor() as pool:
        other = pool.submit(ask, client, input=TEXT * 5)
        answer = ask(client, temperature=0.5)
    assert failure(answer) == (503, "server_error", "engine_failed")
    assert "injected" not in answer.text
    np.testing.assert_allclose(pcm(other.result().content), expected, atol=1)
    served.wait_until(lambda: served.server.active == 0)


def test_a_fault_tells_the_name_of_the_request_and_no_more(
    served: Running, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("injected")

    monkeypatch.setattr(type(served.server.service), "find_voice", fail)
    answer = client.post("/v1/audio/speech", json=BODY, headers={"x-request-id": "mine"})
    assert failure(answer) == (500, "server_error", "internal_error")
    assert "mine" in answer.json()["error"]["message"]
    assert "injected" not in answer.text
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-request-id"] == "mine"
    assert served.server.active == 0


@pytest.mark.parametrize("gone", [WebSocketDisconnect(1006), Close(1008), ConnectionResetError()])
def test_an_utterance_whose_caller_has_gone_is_no_fault_of_the_server(
    served: Running, client: httpx.Client, gone: Exception
) -> None:
    def ends(code: str) -> float:
        line = f'sled_requests_total{{code="{code}",door="gone"}}'
        lines = client.get("/metrics").text.splitlines()
        return sum(float(one.split()[1]) for one in lines if one.startswith(line))

    async def leave() -> None:
        async with served.server.open("gone", SpeechRequest()):
            raise gone

    before = ends("cancelled")
    with pytest.raises(type(gone)):
        asyncio.run(leave())
    assert (ends("cancelled") - before, ends("internal_error")) == (1, 0)


# Clients that stop reading.


def open_and_stop_reading(running: Running, body: dict[str, object]) -> socket.socket:
    host, port = running.url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    data = json.dumps(body).encode()
    head = f"POST /v1/audio/speech HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(data)}\r\n"
    connection.sendall(f"{head}content-type: application/json\r\n\r\n".encode() + data)
    return connection


def test_who_takes_nothing_is_cut_off_and_little_is_made_for_him(
    serve: Callable[..., Running],
) -> None:
    running = serve(stall_s=0.5)
    with open_and_stop_reading(running, BODY | {"input": TEXT * 500}) as connection:
        running.wait_until(lambda: running.server.active == 1)
        running.wait_until(lambda: running.server.active == 0)
        connection.settimeout(10)
        taken = 0
        try:
            while part := connection.recv(65536):
                taken += len(part)
        except ConnectionResetError:
            pass
    assert taken < 300_000  # six seconds of several minutes
    assert httpx.post(f"{running.url}/v1/audio/speech", json=BODY).status_code == 200


def test_headers_that_do_not_come_are_not_waited_for(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PatientProtocol, "headers_s", 0.3)
    host, port = served.url.removeprefix("http://").split(":")
    for begun in (b"", b"GET /health HTTP/1.1\r\nhost: a\r\n"):
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(begun)
            with suppress(ConnectionResetError):
                assert connection.recv(1000) == b""

    async def run() -> None:
        async with call(served) as caller:  # a socket that is open may be silent
            await asyncio.sleep(0.6)
            await caller.send(text(TEXT), DONE)
            await caller.utterance()

    asyncio.run(run())


def test_large_headers_are_refused(served: Running) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n")
        try:
            for _ in range(200):
                connection.sendall(b"x-more: " + b"y" * 1000 + b"\r\n")
            answer = connection.recv(100)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""
    assert answer.startswith(b"HTTP/1.1 4") or not answer


# The end.


def test_a_second_signal_ends_at_once(serve: Callable[..., Running]) -> None:
    running = serve(drain_s=60)

    async def run() -> None:
        async with call(running) as caller:
            await caller.send(text(TEXT * 500))
            await caller.take()
            running.listener.handle_exit(signal.SIGTERM, None)
            assert not running.listener.should_exit
            running.listener.handle_exit(signal.SIGTERM, None)
            await asyncio.wait_for(caller.socket.wait_closed(), 10)
            assert caller.socket.close_code == 1012

    asyncio.run(run())
    running.thread.join(timeout=20)
    assert not running.thread.is_alive()
