"""OpenAI's speech API, as its own client and others use it."""

import asyncio
import base64
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from sled.serving.encoding import FORMATS
from sled.streaming.session import to_int16
from sled.tts import TTS
from tests.serving.conftest import NAME, Running
from tests.serving.test_encoding import decoded

TEXT = "four two seven one"


def pcm(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<i2").astype(int)


def say(tts: TTS, text: str) -> np.ndarray:
    """Samples of a session in this process."""
    with tts.open_session(seed=3, decoding=tts.default_options) as session:
        session.feed(text)
        session.flush()
        return np.concatenate([to_int16(piece) for piece in session]).astype(int)


@pytest.fixture
def spoken(served: Running) -> np.ndarray:
    """The same text and seed, said without the server."""
    return say(served.server.service.tts, TEXT)


def ask(client: httpx.Client, **fields: object) -> httpx.Response:
    body = {"input": TEXT, "response_format": "pcm", "seed": 3} | fields
    return client.post("/v1/audio/speech", json=body)


# Speech.


def test_samples_are_those_of_a_session(client: httpx.Client, spoken: np.ndarray) -> None:
    answer = ask(client)
    assert answer.headers["content-type"] == "audio/pcm;rate=24000;channels=1"
    np.testing.assert_allclose(pcm(answer.content), spoken, atol=1)


@pytest.mark.parametrize("name", FORMATS)
def test_formats(client: httpx.Client, spoken: np.ndarray, name: str) -> None:
    answer = ask(client, response_format=name)
    assert answer.status_code == 200
    rate = FORMATS[name].default_rate or 24_000
    seconds = len(decoded(name, answer.content, rate)) / rate
    assert 0 <= seconds - len(spoken) / 24_000 <= 0.1


def test_the_client_of_openai(served: Running, spoken: np.ndarray) -> None:
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="any", max_retries=0)
    speech = client.audio.speech
    whole = speech.create(
        model="tts-1", voice="alloy", input=TEXT, response_format="pcm", extra_body={"seed": 3}
    )
    np.testing.assert_allclose(pcm(whole.content), spoken, atol=1)
    with speech.with_streaming_response.create(
        model=NAME, voice=NAME, input=TEXT, response_format="wav", speed=1.5
    ) as answer:
        parts = list(answer.iter_bytes())
    assert len(parts) > 1
    with pytest.raises(openai.BadRequestError) as error:
        speech.create(model="tts-1", voice="nobody", input=TEXT)
    assert (error.value.code, error.value.param) == ("voice_not_found", "voice")
    assert error.value.request_id
    assert {model.id for model in client.models.list()} >= {NAME, "tts-1"}


def take_events(client: httpx.Client, **fields: object) -> list[dict[str, Any]]:
    events = []
    body = {"input": TEXT, "response_format": "pcm", "seed": 3, "stream_format": "sse"}
    with client.stream("POST", "/v1/audio/speech", json=body | fields) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
    return events


@pytest.mark.parametrize(
    ("kind", "texts"), [("word", TEXT.split()), ("character", list(TEXT.replace(" ", "")))]
)
def test_events_with_marks(marked: Running, kind: str, texts: list[str]) -> None:
    with httpx.Client(base_url=marked.url, timeout=60) as client:
        events = take_events(client, timestamps=kind, speed=0.5)
    marks = [mark for one in events for mark in one.get("marks", [])]
    assert [mark["text"] for mark in marks] == texts
    sound = b"".join(base64.b64decode(one.get("audio", "")) for one in events)
    assert 0 < marks[-1]["end_ms"] <= len(sound) / 2 / 24 + 100
    assert events[-1]["type"] == "speech.audio.done"


def test_marks_need_events_and_a_model_that_tells(client: httpx.Client, marked: Running) -> None:
    body = {"input": TEXT, "timestamps": "word"}
    refused = client.post("/v1/audio/speech", json=body | {"stream_format": "sse"})
    assert refused.json()["error"]["code"] == "marks_unsupported"
    assert refused.json()["error"]["param"] == "timestamps"
    without_events = httpx.post(f"{marked.url}/v1/audio/speech", json=body)
    assert "stream_format" in without_events.json()["error"]["message"]
    assert {refused.status_code, without_events.status_code} == {400}


def test_events(client: httpx.Client, spoken: np.ndarray) -> None:
    *deltas, done = take_events(client)
    assert {one["type"] for one in deltas} == {"speech.audio.delta"}
    audio = b"".join(base64.b64decode(one["audio"]) for one in deltas)
    np.testing.assert_allclose(pcm(audio), spoken, atol=1)
    assert done["type"] == "speech.audio.done"
    assert done["usage"]["output_tokens"] == round(len(spoken) / 320)


def test_a_file_that_is_not_streamed_tells_its_length(client: httpx.Client) -> None:
    answer = ask(client, response_format="wav", stream=False)
    data = answer.content
    assert int(answer.headers["content-length"]) == len(data)
    assert int.from_bytes(data[40:44], "little") == len(data) - 44


def test_the_same_seed_sounds_the_same(client: httpx.Client) -> None:
    first = ask(client, seed=None)
    again = ask(client, seed=int(first.headers["x-sled-seed"]))
    np.testing.assert_allclose(pcm(first.content), pcm(again.content), atol=1)


def test_audio_comes_before_all_of_it_is_made(client: httpx.Client) -> None:
    with client.stream(
        "POST", "/v1/audio/speech", json={"input": TEXT * 8, "response_format": "pcm"}
    ) as answer:
        parts = answer.iter_bytes(chunk_size=None)
        next(parts)
        begun = time.monotonic()
        list(parts)
        assert time.monotonic() > begun
        assert answer.headers["transfer-encoding"] == "chunked"


# What is asked for and is not there.


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"input": "  "}, 400, "text_empty", "input"),
        ({"input": None}, 400, "invalid_value", "input"),
        ({"input": "a" * 50_001}, 400, "text_too_long", "input"),
        ({"voice": "nobody"}, 400, "voice_not_found", "voice"),
        ({"voice": {"id": "nobody"}}, 400, "voice_not_found", "voice"),
        ({"model": "nothing"}, 404, "model_not_found", "model"),
        ({"response_format": "midi"}, 400, "invalid_value", "response_format"),
        ({"response_format": "opus", "sample_rate": 44_100}, 400, "format_unsupported", None),
        ({"speed": 9}, 400, "invalid_value", "speed"),
        ({"seed": -1}, 400, "invalid_value", "seed"),
        ({"cfg": "high"}, 400, "invalid_value", "cfg"),
        ({"cfg": False}, 400, "invalid_value", "cfg"),
        ({"stream": 1}, 400, "invalid_value", "stream"),
        ({"response_format": "aac", "sample_rate": 10_000}, 400, "format_unsupported", None),
        ({"ref_text": "one " * 1100}, 400, "invalid_value", "ref_text"),
        ({"consent": "yes " * 600}, 400, "invalid_value", "consent"),
    ],
)
def test_bad_fields(
    client: httpx.Client, fields: dict[str, object], status: int, code: str, param: str | None
) -> None:
    answer = ask(client, **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert set(error) == {"message", "type", "param", "code"}
    if param is not None:
        assert error["param"] == param


def test_bad_requests(client: httpx.Client) -> None:
    def code(answer: httpx.Response) -> tuple[int, str]:
        return answer.status_code, answer.json()["error"]["code"]

    post = client.post
    assert code(post("/v1/audio/speech", content=b"{")) == (400, "invalid_value")
    is_json = {"content-type": "application/json"}
    broken = post("/v1/audio/speech", content=b'{"input": four}', headers=is_json)
    assert code(broken) == (400, "invalid_value")
    assert broken.json()["error"]["message"].startswith("the body is no JSON: ")
    assert broken.json()["error"]["message"].endswith(" at character 10")
    for number in (b"NaN", b"Infinity"):
        content = b'{"input": "four", "speed": %b, "temperature": %b}' % (number, number)
        wrong = post("/v1/audio/speech", content=content, headers=is_json)
        assert code(wrong) == (400, "invalid_value")
    assert code(post("/v1/audio/speech", content=b"\xff" * 10)) == (400, "invalid_value")
    assert code(post("/v1/audio/speech", content=b"x" * (5 << 20))) == (413, "body_too_large")
    form = post("/v1/audio/speech", data={"input": "four"})
    assert code(form) == (415, "media_type_unsupported")
    assert code(client.get("/v1/audio/speech")) == (405, "method_not_allowed")
    assert code(client.get("/v1/nothing")) == (404, "not_found")

    def parts() -> list[bytes]:  # a body of unknown size
        return [b"x" * (1 << 20)] * 5

    assert code(post("/v1/audio/speech", content=iter(parts()))) == (413, "body_too_large")


def test_unknown_fields_are_named_and_have_no_effect(client: httpx.Client) -> None:
    answer = ask(client, instruction="cheerfully", lang="en")
    assert answer.status_code == 200
    assert answer.headers["x-sled-ignored"] == "instruction, lang"


@pytest.mark.parametrize("name", ["\u0436", "a\r\nb", "\u0085", " ", ""])
def test_unknown_fields_of_any_name(client: httpx.Client, name: str) -> None:
    body = json.dumps({"input": "four", name: 1})
    answer = client.post(
        "/v1/audio/speech", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 200
    assert answer.headers["x-sled-ignored"].isascii()


def test_all_methods_of_a_path_are_named(client: httpx.Client) -> None:
    assert client.put("/v1/audio/voices/x").headers["allow"] == "DELETE, GET"
    assert client.get("/v1/audio/speech").headers["allow"] == "POST"
    assert client.post("/").headers["allow"].split(", ") in (["GET", "HEAD"], ["HEAD", "GET"])


# Lists, as clients read them.


def test_lists(client: httpx.Client) -> None:
    voices = client.get("/v1/audio/voices").json()
    assert voices["voices"][0]["id"] == voices["voices"][0]["name"] == NAME
    assert client.get("/v1/audio/voices?legacy=true").json() == {"voices": [NAME]}
    assert client.get(f"/v1/models/{NAME}").json()["object"] == "model"
    assert client.get("/v1/audio/models").json()["models"][0]["id"] == NAME
    assert client.get("/v1/").status_code == 200
    assert client.get("/v1/models/nothing").status_code == 404


# Callers who leave, and too many callers.


def leave(running: Running, after_bytes: int) -> None:
    """Ask for a long text, and hang up after so many bytes of the answer."""
    body = json.dumps({"input": TEXT * 200, "response_format": "pcm"}).encode()
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /v1/audio/speech HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n"
        connection.sendall(f"{head}content-type: application/json\r\n\r\n".encode() + body)
        running.wait_until(lambda: running.server.active > 0)
        if after_bytes:
            connection.recv(after_bytes)


@pytest.mark.parametrize("after_bytes", [0, 1000])
def test_a_slot_is_free_when_its_caller_has_left(served: Running, after_bytes: int) -> None:
    leave(served, after_bytes)
    served.wait_until(lambda: served.server.active == 0)


def test_too_many_callers_are_refused_at_once(serve: Callable[..., Running]) -> None:
    running = serve(max_sessions=1, queue_s=0)

    async def run() -> None:
        body = {"input": TEXT * 50, "response_format": "pcm"}
        async with (
            httpx.AsyncClient(base_url=running.url, timeout=60) as client,
            client.stream("POST", "/v1/audio/speech", json=body),
        ):
            refused = await client.post("/v1/audio/speech", json=body)
            figures = (await client.get("/metrics")).text
            reader, writer = await asyncio.open_connection(*running.url[7:].split(":"))
            writer.write(b"POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n")
            assert b" 429 " in await reader.readline()  # of whom nothing else has been read
            writer.close()
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "at_capacity"
        assert int(refused.headers["retry-after-ms"]) > 0
        assert 'sled_requests_total{code="at_capacity",door="openai"} 1.0' in figures

    asyncio.run(run())
    running.wait_until(lambda: running.server.active == 0)


def test_who_waits_is_served_when_another_leaves(serve: Callable[..., Running]) -> None:
    running = serve(max_sessions=1, queue_s=60)

    async def run() -> None:
        async with httpx.AsyncClient(base_url=running.url, timeout=60) as client:
            long = {"input": TEXT * 50, "response_format": "pcm"}
            async with client.stream("POST", "/v1/audio/speech", json=long):
                waiting = asyncio.ensure_future(
                    client.post("/v1/audio/speech", json={"input": TEXT})
                )
                while not running.server.service.admission.queued:
                    await asyncio.sleep(0.01)
            assert (await waiting).status_code == 200

    asyncio.run(run())


def test_company_does_not_change_samples(served: Running, spoken: np.ndarray) -> None:
    async def run() -> list[bytes]:
        body = {"input": TEXT, "response_format": "pcm", "seed": 3}
        async with httpx.AsyncClient(base_url=served.url, timeout=60) as client:
            answers = [client.post("/v1/audio/speech", json=body) for _ in range(4)]
            return [answer.content for answer in await asyncio.gather(*answers)]

    for audio in asyncio.run(run()):
        np.testing.assert_allclose(pcm(audio), spoken, atol=1)
