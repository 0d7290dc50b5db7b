"""Keys, origins, names of requests, health, and the end of the server."""

import asyncio
import json
import signal
import socket
import time
from collections.abc import Callable

import httpx
import numpy as np
import pytest
import websockets

from sled.serving import guard
from sled.serving.settings import load_settings
from tests.serving.conftest import Running
from tests.serving.openai.test_speech import TEXT, pcm, say
from tests.serving.websocket.test_connection import DONE, call, text

BODY = {"input": "four", "response_format": "pcm"}


def test_pages_of_other_origins_cannot_open_a_socket(serve: Callable[..., Running]) -> None:
    running = serve(cors_origins=["https://friend.example"])

    async def opens(origin: str) -> bool:
        try:
            async with websockets.connect(running.socket_url, origin=origin):
                return True
        except websockets.InvalidStatus as error:
            assert error.response.status_code == 403
            assert json.loads(error.response.body)["error"]["type"] == "permission_error"
            return False

    assert asyncio.run(opens(running.url))
    assert asyncio.run(opens("https://friend.example"))
    assert not asyncio.run(opens("https://stranger.example"))
    assert not asyncio.run(opens("http://["))
    answer = httpx.get(f"{running.url}/health", headers={"origin": "https://stranger.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_requests_have_names(client: httpx.Client) -> None:
    assert client.get("/health", headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"
    made = client.get("/health", headers={"x-request-id": "not\u00a0allowed".encode("latin-1")})
    assert made.headers["x-request-id"].startswith("req_")
    assert client.post("/v1/audio/speech", json={}).headers["x-request-id"]


def test_metrics(client: httpx.Client) -> None:
    client.post("/v1/audio/speech", json=BODY)
    client.post("/v1/audio/speech", json=BODY | {"voice": "nobody"})
    figures = client.get("/metrics").text
    assert 'sled_requests_total{code="ok",door="openai"}' in figures
    assert 'sled_requests_total{code="voice_not_found",door="openai"}' in figures
    assert 'sled_first_audio_seconds_count{door="openai"}' in figures
    assert 'sled_encoder_seconds_total{format="pcm"}' in figures
    assert 'sled_build_info{device="cpu",model="tiny"' in figures
    for name in ("queue_seconds", "step_seconds", "batch_size", "lead_seconds"):
        (count,) = [line for line in figures.splitlines() if line.startswith(f"sled_{name}_count")]
        assert float(count.split()[1]) > 0
    assert total(figures, "prefill_seconds") > 0


def total(figures: str, name: str) -> float:
    """A counter without labels."""
    (line,) = [one for one in figures.splitlines() if one.startswith(f"sled_{name}_total ")]
    return float(line.split()[1])


def test_waiting_for_text_is_starvation_and_no_underrun(
    served: Running, client: httpx.Client
) -> None:
    names = ("starved_seconds", "underrun_seconds")
    before = client.get("/metrics").text

    async def run() -> float:
        """Text that stops while a player plays; returns for how long he has nothing."""
        async with call(served) as caller:
            await caller.send(text(TEXT + " "))
            played_s, begun_s = 0.0, 0.0
            while True:
                try:
                    piece = await asyncio.wait_for(caller.socket.recv(), 0.5 if begun_s else 30)
                except TimeoutError:
                    break
                if isinstance(piece, bytes):
                    begun_s = begun_s or time.perf_counter()
                    played_s += len(piece) / 48_000
            dry_s = time.perf_counter() - begun_s - played_s
            await asyncio.sleep(max(0.0, 0.3 - dry_s))
            await caller.send(text(TEXT), DONE)
            await caller.utterance()
            return max(0.3, dry_s)

    dry_s = asyncio.run(run())
    after = client.get("/metrics").text
    starved_s, underrun_s = (total(after, one) - total(before, one) for one in names)
    assert starved_s >= dry_s - 0.1
    assert underrun_s == 0


def test_a_stuck_engine_is_not_healthy(
    client: httpx.Client, served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/health").status_code == 200
    monkeypatch.setattr(type(served.server.service.tts.engine), "step_running_s", 6.0)
    assert client.get("/health").status_code == 503
    assert client.get("/ready").status_code == 503


def test_a_signal_to_stop_lets_sessions_end(serve: Callable[..., Running]) -> None:
    """Under load: each caller hears what a session without a server says."""
    running = serve(drain_s=60)
    words = [f"{TEXT} " * count for count in (10, 12, 14)]

    async def whole(client: httpx.AsyncClient, text: str, begun: asyncio.Semaphore) -> bytes:
        body = BODY | {"input": text, "seed": 3}
        async with client.stream("POST", "/v1/audio/speech", json=body) as answer:
            parts = answer.aiter_raw()
            first = await anext(parts)
            begun.release()
            return first + b"".join([part async for part in parts])

    async def run() -> list[bytes]:
        begun = asyncio.Semaphore(0)
        async with (
            httpx.AsyncClient(base_url=running.url, timeout=60) as client,
            call(running) as caller,
        ):
            await caller.send(text(words[0]))
            await caller.take()
            answers = [asyncio.ensure_future(whole(client, one, begun)) for one in words]
            for _ in answers:
                await begun.acquire()
            assert running.server.active == 1 + len(words)
            running.listener.handle_exit(signal.SIGTERM, None)
            refused = await client.post("/v1/audio/speech", json=BODY)
            assert refused.json()["error"]["code"] == "draining"
            with pytest.raises(websockets.InvalidStatus) as handshake:
                await websockets.connect(running.socket_url)
            assert handshake.value.response.status_code == 503
            assert json.loads(handshake.value.response.body)["error"]["code"] == "draining"
            assert (await client.get("/ready")).status_code == 503
            await caller.send(DONE)
            _, audio = await caller.utterance()
            return [audio, *await asyncio.gather(*answers)]

    heard = asyncio.run(run())
    running.thread.join(timeout=20)
    assert not running.thread.is_alive()
    tts = running.server.service.tts
    for audio, said in zip(heard, [words[0], *words], strict=True):
        np.testing.assert_allclose(pcm(audio), say(tts, said), atol=1)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"host": "0.0.0.0"}, "set --keys, or --insecure"),
        ({"port": "high"}, "--port"),
        ({"max_sessions": 0}, "--max_sessions"),
    ],
)
def test_settings_that_cannot_be(flags: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_settings(**flags)


def test_settings_come_from_flags_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLED_PORT", "1234")
    monkeypatch.setenv("SLED_KEYS", "one, two")
    monkeypatch.setenv("SLED_QUEUE_S", "7")
    settings = load_settings(port=4321)
    assert (settings.port, settings.keys, settings.queue_s) == (4321, ["one", "two"], 7.0)


def test_a_wrong_name_in_the_environment_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLED_PROT", "1234")
    load_settings()
    assert "SLED_PROT" in caplog.text


def test_a_body_that_comes_too_slowly_is_refused(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "BODY_S", 0.2)
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /v1/audio/speech HTTP/1.1\r\nhost: {host}\r\ncontent-length: 50\r\n"
        connection.sendall(f"{head}content-type: application/json\r\n\r\n{{".encode())
        answer = ""
        while not answer.endswith("}"):
            answer += connection.recv(10_000).decode()
    assert answer.startswith("HTTP/1.1 408")
    assert "body_timeout" in answer
