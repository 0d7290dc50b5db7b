"""The WebSocket that takes text piece by piece."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
import websockets
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.serving.service import SpeechRequest
from sled.serving.websocket import connection
from sled.serving.websocket.connection import MAX_QUEUED
from tests.serving.conftest import NAME, Running
from tests.serving.openai.test_speech import TEXT, ask, pcm
from tests.serving.voices.recordings import as_file, tone

CONFIG = {"type": "session.config", "seed": 3}
DONE = {"type": "input.done"}


def text(piece: str) -> dict[str, str]:
    return {"type": "input.text", "text": piece}


class Caller:
    """A client of the socket."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket

    async def send(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            await self.socket.send(json.dumps(message))

    async def take(self) -> dict[str, Any] | bytes:
        message = await asyncio.wait_for(self.socket.recv(), 60)
        return message if isinstance(message, bytes) else json.loads(message)

    async def utterance(self) -> tuple[list[dict[str, Any]], bytes]:
        """The messages of an utterance up to its end, and its audio."""
        messages, audio = [], b""
        while not messages or messages[-1]["type"] != "session.done":
            one = await self.take()
            if isinstance(one, bytes):
                audio += one
            else:
                messages.append(one)
        return messages, audio


@asynccontextmanager
async def call(running: Running, **config: object) -> AsyncIterator[Caller]:
    async with websockets.connect(running.socket_url, max_size=None) as socket:
        caller = Caller(socket)
        await caller.send(CONFIG | config)
        created = await caller.take()
        assert isinstance(created, dict) and created["type"] == "session.created"
        yield caller


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


def test_the_same_samples_as_by_http(served: Running, client: httpx.Client) -> None:
    async def run() -> tuple[list[dict[str, Any]], bytes]:
        async with call(served) as caller:
            await caller.send(*map(text, ("fo", "ur tw", "o seven", " one")), DONE)
            return await caller.utterance()

    messages, audio = asyncio.run(run())
    np.testing.assert_allclose(pcm(audio), pcm(ask(client).content), atol=1)
    assert kinds(messages) == ["audio.start", "audio.done", "session.done"]
    done = messages[1]
    assert done["total_bytes"] == len(audio)
    assert done["audio_ms"] == round(len(audio) / 48)
    assert not done["cancelled"] and not done["error"]


def test_audio_comes_before_the_text_is_complete(served: Running) -> None:
    async def run() -> None:
        async with call(served) as caller:
            await caller.send(text("four two seven one nine four two seven one nine "))
            start = await caller.take()
            assert isinstance(start, dict) and start["type"] == "audio.start"
            assert isinstance(await caller.take(), bytes)

    asyncio.run(run())
    served.wait_until(lambda: served.server.active == 0)


def test_a_writer_keeps_others_from_starting_for_a_moment_only(
    serve: Callable[..., Running],
) -> None:
    """He has no reserve of audio since he writes no more, and is taken to be slow."""
    running = serve(max_starting=1, queue_s=30.0)

    async def run() -> bool:
        async with call(running) as writer, call(running) as other:
            await writer.send(text("four two "))
            await writer.take()
            await other.send(text("seven"), DONE)
            messages, _ = await other.utterance()
            return bool(messages[-2]["error"])

    assert not asyncio.run(run())
    with httpx.Client(base_url=running.url, timeout=60) as client, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(client), range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4


def test_several_utterances_each_with_a_number(served: Running) -> None:
    async def run() -> None:
        async with call(served) as caller:
            await caller.send(text("four two"), DONE, text("seven one"), DONE)
            for number in (0, 1):
                messages, audio = await caller.utterance()
                assert {one["utterance_index"] for one in messages} == {number}
                assert audio

    asyncio.run(run())


def test_cancelling_ends_at_once_and_the_connection_goes_on(served: Running) -> None:
    async def run() -> None:
        async with call(served) as caller:
            await caller.send(text(TEXT * 100))
            await caller.take()
            await caller.send({"type": "response.cancel"})
            messages, _ = await caller.utterance()
            done = next(one for one in messages if one["type"] == "audio.done")
            assert done["cancelled"] and not done["error"]
            assert served.server.active == 0
            await caller.send(CONFIG, text(TEXT), DONE)
            messages, audio = await caller.utterance()
            assert kinds(messages)[0] == "session.created"
            assert audio

    asyncio.run(run())


def test_audio_of_an_utterance_at_once(served: Running, client: httpx.Client) -> None:
    async def run() -> list[bytes]:
        async with call(served, stream_audio=False, response_format="wav") as caller:
            await caller.send(text(TEXT), DONE)
            parts = []
            while not isinstance(one := await caller.take(), bytes):
                assert one["type"] == "audio.start"
            parts.append(one)
            assert isinstance(await caller.take(), dict)
            return parts

    (audio,) = asyncio.run(run())
    assert audio[:4] == b"RIFF"
    np.testing.assert_allclose(pcm(audio[44:]), pcm(ask(client).content), atol=1)


def test_audio_that_comes_at_once_does_not_wait_for_a_listener(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[SpeechRequest] = []

    def note(**fields: Any) -> SpeechRequest:
        requests.append(SpeechRequest(**fields))
        return requests[-1]

    monkeypatch.setattr(connection, "SpeechRequest", note)

    async def run(stream_audio: bool) -> None:
        async with call(served, stream_audio=stream_audio, max_lead_s=0.5) as caller:
            await caller.send(text(TEXT), DONE)
            await caller.utterance()

    for stream_audio in (True, False):
        asyncio.run(run(stream_audio))
    assert [(one.max_lead_s, one.live) for one in requests] == [(0.5, True), (None, False)]


def test_audio_is_not_sent_far_ahead_of_the_listener(served: Running) -> None:
    """However long the pieces are: each waits until those before it have nearly been played."""

    async def run() -> list[tuple[float, float]]:
        arrived: list[tuple[float, float]] = []  # when each piece came, and its seconds
        async with call(served, max_lead_s=0.2) as caller:
            await caller.send(text(TEXT * 4), DONE)
            while isinstance(one := await caller.take(), bytes) or one["type"] != "session.done":
                if isinstance(one, bytes):
                    arrived.append((asyncio.get_running_loop().time(), len(one) / 48_000))
        return arrived

    (begun, before_s), *rest = asyncio.run(run())
    assert before_s + sum(seconds for _, seconds in rest) > 0.5
    for came, seconds in rest:
        assert came - begun > before_s - 0.2 - 0.05  # the first one may be late by less than that
        before_s += seconds


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([text("four")], "invalid_value"),
        ([CONFIG, DONE], "text_empty"),
        ([CONFIG | {"voice": "nobody"}], "voice_not_found"),
        ([CONFIG | {"model": "nothing"}], "model_not_found"),
        ([CONFIG | {"speed": "fast"}], "invalid_value"),
        ([CONFIG | {"response_format": "opus", "sample_rate": 44_100}], "format_unsupported"),
        ([CONFIG, text("four"), CONFIG], "invalid_value"),
        ([CONFIG, {"type": "input.text"}], "invalid_value"),
        ([CONFIG, {"type": "input.text", "text": "a" * 50_001}], "text_too_long"),
        ([CONFIG, text("  "), DONE], "text_empty"),
        ([{"type": "what"}], "invalid_value"),
        ([{}], "invalid_value"),
    ],
)
def test_errors_leave_the_connection_usable(
    served: Running, messages: list[dict[str, Any]], code: str
) -> None:
    async def run() -> None:
        async with websockets.connect(served.socket_url) as socket:
            caller = Caller(socket)
            await caller.send(*messages)
            while not isinstance(one := await caller.take(), dict) or one["type"] != "error":
                pass
            assert (one["code"], one["fatal"]) == (code, False)
            await caller.send({"type": "response.cancel"}, {"type": "ping"})
            while not isinstance(one := await caller.take(), dict) or one["type"] != "pong":
                pass

    asyncio.run(run())


@pytest.mark.parametrize(
    ("message", "code"), [(b"\0", 1003), (json.dumps(text("x" * 200_000)), 1009)]
)
def test_messages_that_close_the_connection(
    served: Running, message: str | bytes, code: int
) -> None:
    async def run() -> int | None:
        async with websockets.connect(served.socket_url) as socket:
            await socket.send(message)
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()
            return socket.close_code

    assert asyncio.run(run()) == code


def closing(running: Running, act: Callable[[Caller], Awaitable[None]]) -> tuple[list[Any], int]:
    """Everything that comes until the connection is closed, and the close code."""

    async def run() -> tuple[list[Any], int]:
        messages = []
        async with websockets.connect(running.socket_url) as socket:
            caller = Caller(socket)
            await act(caller)
            try:
                while True:
                    messages.append(await caller.take())
            except websockets.ConnectionClosed:
                assert socket.close_code is not None
                return messages, socket.close_code

    return asyncio.run(run())


async def silent(caller: Caller) -> None:
    pass


async def configured(caller: Caller) -> None:
    await caller.send(CONFIG)


def test_connections_that_say_nothing_are_closed(
    serve: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONFIG_TIMEOUT_S", 0.2)
    running = serve(idle_s=0.2)
    assert closing(running, silent)[1] == 1008
    assert closing(running, configured)[1] == 1000


def test_text_that_stops_coming_is_taken_as_complete(serve: Callable[..., Running]) -> None:
    running = serve(text_timeout_s=0.2, idle_s=0.3)

    async def unfinished(caller: Caller) -> None:
        await caller.send(CONFIG, text(TEXT))

    messages, code = closing(running, unfinished)
    assert [one for one in messages if isinstance(one, dict)][-1]["type"] == "session.done"
    assert code == 1000


def test_a_connection_has_so_many_utterances_that_wait(served: Running) -> None:
    async def run() -> None:
        async with call(served) as caller:
            await caller.send(CONFIG, text(TEXT * 50), DONE)
            await caller.take()
            for _ in range(MAX_QUEUED + 1):
                await caller.send(text("four"), DONE)
            while (message := await caller.take()) and not (
                isinstance(message, dict) and message["type"] == "error"
            ):
                pass
            assert message["code"] == "too_many_sessions"

    asyncio.run(run())
    served.wait_until(lambda: served.server.active == 0)


def test_too_many_callers_are_told_when_to_try_again(serve: Callable[..., Running]) -> None:
    running = serve(max_sessions=1, queue_s=0)

    async def run() -> None:
        async with call(running) as first, call(running) as second:
            await first.send(text(TEXT * 50))
            await first.take()
            with pytest.raises(websockets.InvalidStatus) as handshake:
                await websockets.connect(running.socket_url)
            assert handshake.value.response.status_code == 429
            assert int(handshake.value.response.headers["retry-after-ms"]) > 0
            await second.send(text("four"), DONE)
            messages, _ = await second.utterance()
            assert messages[0]["code"] == "at_capacity"
            assert messages[0]["retry_after_ms"] > 0
            with pytest.raises(websockets.ConnectionClosed):
                await second.take()
            assert second.socket.close_code == 1013

    asyncio.run(run())
    running.wait_until(lambda: running.server.active == 0)


MESSAGES = st.sampled_from(
    [
        CONFIG,
        CONFIG | {"response_format": "mp3", "speed": 2.0},
        text("four two "),
        text(""),
        text("\ud83d"),
        DONE,
        {"type": "response.cancel"},
        {"type": "response.cancel", "played_ms": -5},
        {"type": "ping"},
        {"type": ["input.text"]},
        {"text": {}},
        [],
        None,
    ]
)


@given(messages=st.lists(MESSAGES, max_size=12))
@settings(max_examples=20)
def test_any_order_of_messages_never_breaks_the_server(
    served: Running, messages: list[Any]
) -> None:
    async def run() -> None:
        async with websockets.connect(served.socket_url) as socket:
            for message in messages:
                await socket.send(json.dumps(message))
            await socket.send(json.dumps({"type": "ping"}))
            while (one := await asyncio.wait_for(socket.recv(), 60)) != '{"type": "pong"}':
                assert isinstance(one, bytes) or "internal" not in one
            await socket.send(json.dumps({"type": "session.close"}))
            await asyncio.wait_for(socket.wait_closed(), 60)
            assert socket.close_code == 1000

    asyncio.run(run())
    served.wait_until(lambda: served.server.active == 0)


def test_who_hangs_up_frees_the_slot(served: Running) -> None:
    async def run() -> None:
        async with call(served) as caller:
            await caller.send(text(TEXT * 100))
            await caller.take()
            caller.socket.transport.abort()

    asyncio.run(run())
    served.wait_until(lambda: served.server.active == 0)
    assert served.server.healthy
    assert NAME in served.server.service.voices


def test_a_recording_in_the_settings(served: Running) -> None:
    recording = base64.b64encode(as_file(tone(4), "WAV")).decode()
    config = {"ref_audio": recording, "ref_text": "four two " * 15, "consent": "He agreed."}
    assert len(recording) > 200_000

    async def run(**fields: object) -> tuple[list[dict[str, Any]], bytes]:
        async with call(served, **fields) as caller:
            await caller.send(text(TEXT), DONE)
            return await caller.utterance()

    own = asyncio.run(run())[1]
    messages, cloned = asyncio.run(run(**config))
    assert kinds(messages) == ["audio.start", "audio.done", "session.done"], messages
    assert cloned != own
    messages, audio = asyncio.run(run(**config | {"consent": None}))
    assert (messages[0]["code"], messages[0]["fatal"]) == ("consent_required", False)
    assert not audio
