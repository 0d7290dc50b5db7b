"""ElevenLabs' WebSockets, as its clients and those of Pipecat and LiveKit use them."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest
import websockets
from hypothesis import given, settings
from hypothesis import strategies as st

from sled.serving.elevenlabs import connection
from tests.serving.conftest import NAME, Running
from tests.serving.openai.test_speech import ask, pcm

TEXT = "four two seven one"
LONG = "four two seven one nine " * 20
START: dict[str, Any] = {
    "text": " ",
    "voice_settings": {"stability": 0.5, "similarity_boost": 0.8, "use_speaker_boost": False},
    "generation_config": {"chunk_length_schedule": [120, 160, 250, 290]},
    "xi-api-key": "any",
}
END = {"text": ""}


class Caller:
    """A client of a socket."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket

    async def send(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            await self.socket.send(json.dumps(message))

    async def take(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await asyncio.wait_for(self.socket.recv(), 60))
        return message

    async def rest(self) -> list[dict[str, Any]]:
        """All messages until the connection is closed."""
        messages = []
        try:
            while True:
                messages.append(await self.take())
        except websockets.ConnectionClosed:
            return messages

    async def context(self, name: str | None) -> bytes:
        """The audio of a context, up to its end; others are left out."""
        audio = b""
        while True:
            message = await self.take()
            if message.get("contextId") == name:
                assert "error" not in message
                if message["isFinal"]:
                    return audio
                audio += base64.b64decode(message["audio"])


def address(running: Running, kind: str, voice: str = NAME, **query: object) -> str:
    query = {"model_id": "eleven_flash_v2_5", "output_format": "pcm_24000", "seed": 3} | query
    base = running.url.replace("http", "ws")
    return f"{base}/v1/text-to-speech/{voice}/{kind}?{urlencode(query)}"


@asynccontextmanager
async def call(
    running: Running, kind: str = "stream-input", **query: object
) -> AsyncIterator[Caller]:
    async with websockets.connect(address(running, kind, **query), max_size=None) as socket:
        yield Caller(socket)


def multi(running: Running, **query: object) -> Any:
    return call(running, "multi-stream-input", **query)


def audio_of(messages: list[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(one["audio"]) for one in messages if one.get("audio"))


def in_context(name: str | None, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    return [message | {"context_id": name} for message in messages]


@pytest.fixture(scope="module")
def spoken(served: Running) -> np.ndarray:
    """The samples over HTTP with the same seed."""
    with httpx.Client(base_url=served.url, timeout=60) as client:
        return pcm(ask(client, input=TEXT).content)


# One text.


@given(cuts=st.lists(st.integers(0, len(TEXT)), max_size=6).map(sorted))
@settings(max_examples=5)
def test_the_same_samples_however_the_text_is_cut(
    served: Running, spoken: np.ndarray, cuts: list[int]
) -> None:
    places = sorted({0, *cuts, len(TEXT)})  # an empty piece would end the text
    pieces = [{"text": TEXT[a:b]} for a, b in zip(places[:-1], places[1:], strict=True)]

    async def run() -> tuple[list[dict[str, Any]], int | None]:
        async with call(served) as caller:
            await caller.send(START, *pieces, END)
            return await caller.rest(), caller.socket.close_code

    messages, code = asyncio.run(run())
    np.testing.assert_allclose(pcm(audio_of(messages)), spoken, atol=1)
    assert messages[-1]["isFinal"] and not messages[-1]["audio"]
    assert not any(message["isFinal"] for message in messages[:-1])
    assert code == 1000


@pytest.mark.parametrize("kind", ["stream-input", "multi-stream-input"])
def test_audio_comes_before_the_text_is_complete(served: Running, kind: str) -> None:
    async def run() -> None:
        async with call(served, kind) as caller:
            await caller.send(START, {"text": "four two seven one nine four two seven one nine "})
            assert len(audio_of([await caller.take()])) > 0

    asyncio.run(run())
    served.wait_until(lambda: served.server.active == 0)


def test_a_flush_has_the_text_said_to_its_end_and_more_can_follow(
    served: Running, spoken: np.ndarray
) -> None:
    async def run() -> tuple[bytes, bytes]:
        async with call(served) as caller:
            await caller.send(START, {"text": TEXT, "flush": True})
            first = b""
            while len(first) < 2 * len(spoken):
                first += audio_of([await caller.take()])
            await caller.send({"text": "nine", "flush": True}, END)
            return first, audio_of(await caller.rest())

    first, second = asyncio.run(run())
    np.testing.assert_allclose(pcm(first), spoken, atol=1)
    assert len(second) > 1000


@pytest.mark.parametrize("pieces", [("four two", "seven one"), ("four two ", " seven", "one ")])
def test_messages_with_whole_phrases(
    served: Running, spoken: np.ndarray, pieces: tuple[str, ...]
) -> None:
    """So Pipecat sends sentences, without a space between them."""

    async def run() -> bytes:
        async with call(served, auto_mode="true") as caller:
            await caller.send(START, *({"text": piece} for piece in pieces), END)
            return audio_of(await caller.rest())

    np.testing.assert_allclose(pcm(asyncio.run(run())), spoken, atol=1)


def test_a_text_without_a_word_is_silence(served: Running) -> None:
    async def run(*messages: dict[str, Any]) -> tuple[list[dict[str, Any]], int | None]:
        async with call(served) as caller:
            await caller.send(*messages)
            return await caller.rest(), caller.socket.close_code

    for messages in ([END], [START, END], [START, {"text": "  "}, END, {"text": "late"}]):
        (final,), code = asyncio.run(run(*messages))
        assert (final["isFinal"], code) == (True, 1000)


@pytest.mark.parametrize(
    ("query", "messages", "error"),
    [
        ({"voice": "nobody"}, [START], "voice_not_found"),
        ({"model_id": "whisper"}, [START], "model_not_found"),
        ({"output_format": "midi"}, [START], "format_unsupported"),
        ({"seed": "x"}, [START], "invalid_value"),
        ({"inactivity_timeout": -1}, [START], "invalid_value"),
        ({"inactivity_timeout": 1e-6}, [START], "invalid_value"),
        ({"inactivity_timeout": "nan"}, [START], "invalid_value"),
        ({}, [START | {"voice_settings": {"speed": 9}}], "invalid_value"),
        ({}, [START, {"text": 7}], "invalid_value"),
        ({}, [START, {"text": "a" * 50_001}], "text_too_long"),
    ],
)
def test_errors(
    served: Running, query: dict[str, str], messages: list[dict[str, Any]], error: str
) -> None:
    async def run() -> tuple[list[dict[str, Any]], int | None]:
        async with call(served, **query) as caller:
            await caller.send(*messages)
            return await caller.rest(), caller.socket.close_code

    received, code = asyncio.run(run())
    assert (received[-1]["error"], received[-1]["code"], code) == (error, 1008, 1008)
    assert received[-1]["message"]


def test_who_is_one_too_many_is_told_when_to_try_again(serve: Callable[..., Running]) -> None:
    running = serve(max_sessions=1, queue_s=0)

    async def run() -> None:
        async with call(running) as first, call(running) as second:
            await first.send(START, {"text": LONG})
            await first.take()
            await second.send(START, {"text": TEXT}, END)
            (refused,) = await second.rest()
            assert (refused["error"], second.socket.close_code) == ("at_capacity", 1013)
            assert refused["retry_after_ms"] > 0
        running.wait_until(lambda: running.server.active == 0)  # the first has left
        async with multi(running) as third:
            await third.send(*in_context("a", START, {"text": TEXT, "flush": True}))
            running.wait_until(lambda: running.server.active == 1)
            await third.send(*in_context("b", START, {"text": TEXT}))
            messages = [await third.take()]
            while not (messages[-1].get("isFinal") and messages[-1]["contextId"] == "b"):
                messages.append(await third.take())
            (refused,) = [one for one in messages if "error" in one]
            assert (refused["error"], refused["contextId"]) == ("at_capacity", "b")

    asyncio.run(run())
    running.wait_until(lambda: running.server.active == 0)


def test_silence_ends_a_text_and_then_the_connection(served: Running, spoken: np.ndarray) -> None:
    async def run(caller_of: Any, *messages: dict[str, Any]) -> tuple[list[Any], int | None]:
        async with caller_of(served, inactivity_timeout=0.3) as caller:
            await caller.send(*messages)
            return await caller.rest(), caller.socket.close_code

    messages, code = asyncio.run(run(call, START, {"text": TEXT}))
    np.testing.assert_allclose(pcm(audio_of(messages)), spoken, atol=1)
    assert (messages[-1]["isFinal"], code) == (True, 1000)
    *messages, last = asyncio.run(run(multi, *in_context("a", START, {"text": TEXT})))[0]
    np.testing.assert_allclose(pcm(audio_of(messages)), spoken, atol=1)
    assert messages[-1]["isFinal"]
    assert last["error"] == "input_timeout_exceeded"


def test_who_says_nothing_at_all_is_cut_off(
    served: Running, guarded: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once without a key, and otherwise when the time that the client asked for has passed."""
    monkeypatch.setattr(connection, "KEY_TIMEOUT_S", 0.2)

    async def run(running: Running, timeout_s: float) -> int | None:
        async with call(running, inactivity_timeout=timeout_s) as caller:
            await caller.rest()
            return caller.socket.close_code

    assert asyncio.run(run(guarded, 60)) == 1008
    assert asyncio.run(run(served, 0.2)) == 1008


def test_who_has_shown_a_key_may_be_silent_before_the_first_text(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "KEY_TIMEOUT_S", 0.05)

    async def run() -> bytes:
        async with call(served) as caller:
            await asyncio.sleep(0.3)
            await caller.send({"text": TEXT}, END)
            return audio_of(await caller.rest())

    assert asyncio.run(run())


# Several texts.


def test_texts_are_said_at_the_same_time(served: Running, spoken: np.ndarray) -> None:
    async def run() -> dict[str, bytes]:
        async with multi(served) as caller:
            for name in "abc":
                await caller.send(*in_context(name, START, {"text": TEXT, "flush": True}))
                await caller.send({"context_id": name, "close_context": True})
            audio, open_contexts = dict.fromkeys("abc", b""), set("abc")
            while open_contexts:
                message = await caller.take()
                assert message["contextId"] in open_contexts  # nothing comes after the end
                audio[message["contextId"]] += audio_of([message])
                if message["isFinal"]:
                    open_contexts.remove(message["contextId"])
            return audio

    for audio in asyncio.run(run()).values():
        np.testing.assert_allclose(pcm(audio), spoken, atol=1)


@pytest.mark.parametrize("end", [[{"text": "", "flush": True}, {"close_context": True}], [END]])
def test_the_end_of_a_text_as_livekit_sends_it(
    served: Running, spoken: np.ndarray, end: list[dict[str, Any]]
) -> None:
    """An empty text alone does not end it, but keeps it."""

    async def run() -> bytes:
        async with multi(served, sync_alignment="true", inactivity_timeout=180) as caller:
            await caller.send(*in_context("a", START, {"text": TEXT}, *end))
            if end == [END]:
                await caller.send(*in_context("a", {"flush": True}, {"close_context": True}))
            return await caller.context("a")

    np.testing.assert_allclose(pcm(asyncio.run(run())), spoken, atol=1)


def test_closing_a_text_that_was_not_flushed_stops_it_at_once(
    served: Running, spoken: np.ndarray
) -> None:
    async def run() -> tuple[bytes, bytes]:
        async with multi(served) as caller:
            await caller.send(*in_context("a", START, {"text": LONG}))
            await caller.take()
            await caller.send({"context_id": "a", "close_context": True})
            stopped = await caller.context("a")
            assert served.server.active == 0
            await caller.send(*in_context("a", START, {"text": TEXT, "flush": True}))
            await caller.send({"context_id": "a", "close_context": True})
            return stopped, await caller.context("a")

    stopped, again = asyncio.run(run())
    np.testing.assert_allclose(pcm(again), spoken, atol=1)
    assert len(stopped) < 48_000 * 30


def test_closing_a_flushed_text_twice_stops_it(served: Running) -> None:
    async def run() -> None:
        async with multi(served) as caller:
            await caller.send(*in_context("a", START, {"text": LONG * 3, "flush": True}))
            await caller.take()
            await caller.send({"context_id": "a", "close_context": True})
            await caller.take()
            await caller.send({"context_id": "a", "close_context": True})
            await caller.context("a")
            assert served.server.active == 0

    asyncio.run(run())


def test_a_name_can_be_used_again_while_the_text_before_is_still_said(
    served: Running, spoken: np.ndarray
) -> None:
    async def run() -> list[bytes]:
        async with multi(served) as caller:
            for _ in range(2):
                await caller.send(*in_context("a", START, {"text": TEXT, "flush": True}))
                await caller.send({"context_id": "a", "close_context": True})
            return [await caller.context("a") for _ in range(2)]

    for audio in asyncio.run(run()):
        np.testing.assert_allclose(pcm(audio), spoken, atol=1)


def test_closing_the_connection_lets_flushed_texts_end(served: Running, spoken: np.ndarray) -> None:
    async def run(*messages: dict[str, Any]) -> tuple[list[dict[str, Any]], int | None]:
        async with multi(served) as caller:
            await caller.send(*messages, {"close_socket": True})
            return await caller.rest(), caller.socket.close_code

    flushed = in_context("a", START, {"text": TEXT, "flush": True})
    messages, code = asyncio.run(run(*flushed, *in_context("b", START, {"text": LONG})))
    audio = audio_of([one for one in messages if one["contextId"] == "a"])
    np.testing.assert_allclose(pcm(audio), spoken, atol=1)
    assert sum(bool(one["isFinal"]) for one in messages) == 2
    assert code == 1000
    assert asyncio.run(run(END)) == ([], 1000)  # a keep-alive, as Pipecat sends it
    assert asyncio.run(run(START))[1] == 1000


def test_there_is_a_limit_of_texts_and_those_that_were_stopped_do_not_count(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_CONTEXTS", 2)

    async def run() -> None:
        async with multi(served) as caller:
            for name in "abc":
                await caller.send(*in_context(name, START, {"text": "four"}))
            while "error" not in (message := await caller.take()):
                pass
            assert (message["error"], message["contextId"]) == ("too_many_sessions", "c")
            await caller.send({"context_id": "a", "close_context": True})
            await caller.send(*in_context("d", START, {"text": TEXT, "flush": True}))
            await caller.send({"context_id": "d", "close_context": True})
            assert await caller.context("d")

    asyncio.run(run())
    served.wait_until(lambda: served.server.active == 0)


# Keys.


@pytest.mark.parametrize("field", ["xi-api-key", "xi_api_key", "authorization", None])
@pytest.mark.parametrize("kind", ["stream-input", "multi-stream-input"])
def test_a_key_may_come_with_the_first_message(guarded: Running, kind: str, field: str) -> None:
    async def run(given: str) -> list[dict[str, Any]]:
        async with call(guarded, kind) as caller:
            key = {} if field is None else {field: given}
            start = {"text": " "} | key
            await caller.send(start, {"text": TEXT, "flush": True}, END, {"close_socket": True})
            messages = await caller.rest()
            assert caller.socket.close_code == (1008 if "error" in messages[-1] else 1000)
            return messages

    if field is not None:
        assert audio_of(asyncio.run(run("secret")))
    (refused,) = asyncio.run(run("other"))
    assert refused["error"] == "invalid_api_key"


def test_a_key_may_come_in_a_header(guarded: Running) -> None:
    async def run(key: str) -> bytes:
        headers = {"xi-api-key": key}
        url = address(guarded, "stream-input")
        async with websockets.connect(url, additional_headers=headers) as socket:
            caller = Caller(socket)
            await caller.send({"text": TEXT}, END)
            return audio_of(await caller.rest())

    assert asyncio.run(run("secret"))
    with pytest.raises(websockets.InvalidStatus) as error:
        asyncio.run(run("other"))
    assert error.value.response.status_code == 401


# Anything.

MESSAGES = st.sampled_from(
    [
        START,
        {"text": "four two ", "try_trigger_generation": True},
        {"text": "one", "flush": True},
        {"text": "\ud83d"},
        {"text": "", "flush": True},
        {"flush": True},
        {"text": None, "flush": None},
        {"close_context": True},
        {"close_context": False, "text": "two"},
        {"contextId": "a", "text": "three"},
        {"voice_settings": {"speed": "fast"}},
        {"context_id": 7},
        {"text": {}},
        [],
        None,
    ]
)


@given(
    kind=st.sampled_from(["stream-input", "multi-stream-input"]),
    messages=st.lists(st.tuples(MESSAGES, st.sampled_from(["a", "b", None])), max_size=10),
    end=st.sampled_from([{"close_socket": True}, END, None]),
)
@settings(max_examples=25)
def test_any_order_of_messages_never_breaks_the_server(
    served: Running, kind: str, messages: list[tuple[Any, str | None]], end: dict[str, Any] | None
) -> None:
    async def run() -> None:
        async with call(served, kind, inactivity_timeout=1) as caller:
            try:
                for message, name in messages:
                    if isinstance(message, dict) and name is not None:
                        message = {"context_id": name} | message
                    await caller.socket.send(json.dumps(message))
                if end is None:
                    caller.socket.transport.abort()
                else:
                    await caller.send(end)
            except websockets.ConnectionClosed:
                pass
            for message in await caller.rest():
                assert message.get("error") != "internal_error"
            assert caller.socket.close_code in (1000, 1008) or end is None
        async with call(served) as caller:
            await caller.send({"text": "one"}, END)
            assert audio_of(await caller.rest())

    asyncio.run(run())
    served.wait_until(lambda: served.server.active == 0)


@pytest.mark.parametrize(("message", "code"), [(b"\0", 1003), ("x" * 200_000, 1009), ("{", 1008)])
def test_messages_that_close_the_connection(
    served: Running, message: str | bytes, code: int
) -> None:
    async def run() -> int | None:
        async with multi(served) as caller:
            await caller.socket.send(message)
            await caller.rest()
            return caller.socket.close_code

    assert asyncio.run(run()) == code


def test_who_hangs_up_frees_all_slots(served: Running) -> None:
    async def run() -> None:
        async with multi(served) as caller:
            await caller.send(*in_context("a", {"text": LONG}), *in_context("b", {"text": LONG}))
            await caller.take()
            caller.socket.transport.abort()

    asyncio.run(run())
    served.wait_until(lambda: served.server.active == 0)
    assert served.server.healthy
