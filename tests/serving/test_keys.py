"""Keys, what they allow, and tokens in their place."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st

from sled.cli.serve import make_server
from sled.serving.errors import ApiError
from sled.serving.keys import (
    ANYONE,
    TOKEN_S,
    Key,
    Keys,
    digest_of,
    key_named_by_digest,
    read_keys,
)
from sled.serving.settings import load_settings
from tests.serving.conftest import Running
from tests.serving.openai.test_speech import TEXT
from tests.serving.websocket.test_connection import CONFIG, DONE, Caller, text

BODY = {"input": "four", "response_format": "pcm"}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def write_keys(folder: Path, *entries: dict[str, object]) -> Path:
    path = folder / "keys.json"
    path.write_text(json.dumps({"keys": entries}))
    return path


def entry(name: str, **limits: object) -> dict[str, object]:
    """A key that is the same as its name."""
    return {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), **limits}


@pytest.fixture
def limited(serve: Callable[..., Running], tmp_path: Path) -> Running:
    path = write_keys(
        tmp_path, entry("kiosk", max_sessions=1), entry("phone", rate="2/hour"), entry("free")
    )
    return serve(keys_file=path, keys=["plain"])


# What is accepted.


HEADERS = [
    ({}, 401),
    ({"authorization": "Bearer wrong"}, 401),
    ({"authorization": "free"}, 401),
    ({"authorization": "Basic free"}, 401),
    (bearer(hashlib.sha256(b"free").hexdigest()), 401),
    (bearer("free"), 200),
    ({"authorization": "bearer  free"}, 200),
    (bearer("plain"), 200),
    ({"xi-api-key": "free"}, 200),
    ({"kyutai-api-key": "free"}, 200),
]


def test_a_key_may_be_in_any_of_the_usual_headers(limited: Running) -> None:
    for headers, status in HEADERS:
        answer = httpx.post(f"{limited.url}/v1/audio/speech", json=BODY, headers=headers)
        assert answer.status_code == status, headers
        assert answer.headers["x-request-id"]


def test_lists_and_health_are_open_and_the_rest_is_not(limited: Running) -> None:
    for path in ("/health", "/ready", "/v1/models", "/v1/audio/voices", "/v1/audio/models"):
        assert httpx.get(limited.url + path).status_code == 200
    for path in ("/metrics", "/docs", "/nothing"):
        assert httpx.get(limited.url + path).status_code == 401
    assert httpx.post(f"{limited.url}/v1/audio/voices").status_code == 401
    assert httpx.get(f"{limited.url}/v1/models", headers=bearer("wrong")).status_code == 401


def test_pages_may_ask_without_a_key_whether_they_may_ask(serve: Callable[..., Running]) -> None:
    running = serve(keys=["right"], cors_origins=["https://friend.example"])
    asking = {
        "origin": "https://friend.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    answer = httpx.options(f"{running.url}/v1/audio/speech", headers=asking)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://friend.example"
    refused = httpx.post(f"{running.url}/v1/audio/speech", json=BODY, headers=asking)
    assert refused.status_code == 401
    assert "access-control-allow-origin" in refused.headers


def test_many_wrong_keys_from_one_address_are_not_tried() -> None:
    keys = Keys([Key("one", digest_of("right"))])
    codes = []
    for at in range(70):
        with pytest.raises(ApiError) as error:
            keys.find(f"guess-{at}", "10.0.0.1")
        codes.append(error.value.code)
    assert codes == ["invalid_api_key"] * 60 + ["rate_limited"] * 10
    # A client behind the same proxy as one that guesses is not locked out.
    for address in ("10.0.0.1", "10.0.0.2"):
        assert keys.find("right", address).name == "one"


def test_no_key_and_a_blank_key_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ApiError, match="give a valid key"):
        Keys([Key("blank", digest_of(""))]).find("")
    with pytest.raises(ApiError, match="give a valid key"):
        Keys([Key("one", digest_of("right"))]).find("\ud800")
    monkeypatch.setenv("SLED_KEYS", "right, ,")
    assert load_settings(host="0.0.0.0").keys == ["right"]
    for value in ("", " , "):
        monkeypatch.setenv("SLED_KEYS", value)
        with pytest.raises(ValueError, match="can be reached by others"):
            load_settings(host="0.0.0.0")
    with pytest.raises(ValueError, match="a key is blank"):
        load_settings(keys=["right", " "])


def test_the_name_of_a_key_does_not_depend_on_others(tmp_path: Path) -> None:
    old, new = key_named_by_digest("old"), key_named_by_digest("new")
    assert old.name != new.name and key_named_by_digest("new") == new
    path = write_keys(tmp_path, entry(old.name))
    settings = load_settings(keys=["old"], keys_file=path)
    with pytest.raises(ValueError, match="2 keys of the name"):
        make_server(settings)


# What a key allows.


def test_a_key_has_so_many_sessions_at_a_time(limited: Running) -> None:
    async def run() -> None:
        long = BODY | {"input": TEXT * 50}
        async with httpx.AsyncClient(
            base_url=limited.url, timeout=60, headers=bearer("kiosk")
        ) as client:
            async with client.stream("POST", "/v1/audio/speech", json=long):
                refused = await client.post("/v1/audio/speech", json=BODY)
                other = await client.post("/v1/audio/speech", json=BODY, headers=bearer("free"))
                with pytest.raises(websockets.InvalidStatus) as handshake:
                    await websockets.connect(limited.socket_url, additional_headers=bearer("kiosk"))
            assert other.status_code == 200
            assert (refused.status_code, handshake.value.response.status_code) == (429, 429)
            error = refused.json()["error"]
            assert (error["type"], error["code"]) == ("rate_limit_exceeded", "too_many_sessions")
            assert int(refused.headers["retry-after-ms"]) > 0
            limited.wait_until(lambda: limited.server.active == 0)
            assert (await client.post("/v1/audio/speech", json=BODY)).status_code == 200

    asyncio.run(run())


def test_a_key_has_so_many_requests_in_a_time(limited: Running) -> None:
    def ask(key: str) -> httpx.Response:
        return httpx.post(f"{limited.url}/v1/audio/speech", json=BODY, headers=bearer(key))

    assert [ask("phone").status_code for _ in range(3)] == [200, 200, 429]
    refused = ask("phone")
    assert refused.json()["error"]["code"] == "rate_limited"
    assert 3000 < int(refused.headers["retry-after"]) <= 3600
    assert ask("free").status_code == 200


def test_a_socket_counts_each_utterance(limited: Running) -> None:
    async def run() -> None:
        async with websockets.connect(
            limited.socket_url, additional_headers=bearer("phone")
        ) as socket:
            caller = Caller(socket)
            await caller.send(CONFIG)
            await caller.take()
            for number in range(3):
                await caller.send(text("four"), DONE)
                messages, audio = await caller.utterance()
                assert bool(audio) == (number < 2)
            assert (messages[0]["code"], messages[0]["fatal"]) == ("rate_limited", False)

    asyncio.run(run())


# Tokens.


def test_a_token_opens_a_socket_in_the_place_of_a_key(limited: Running) -> None:
    made = httpx.post(f"{limited.url}/v1/tokens", headers=bearer("free")).json()
    assert made["expires_in"] == TOKEN_S

    async def opens(token: str) -> bool:
        try:
            async with websockets.connect(f"{limited.socket_url}?token={token}"):
                return True
        except websockets.InvalidStatus as error:
            assert error.response.status_code == 401
            return False

    assert asyncio.run(opens(made["token"]))
    assert not asyncio.run(opens("free"))
    assert not asyncio.run(opens(made["token"][:-1] + "?"))
    assert httpx.post(f"{limited.url}/v1/tokens").status_code == 401
    asked = f"{limited.url}/v1/audio/speech?token={made['token']}"
    assert httpx.post(asked, json=BODY).status_code == 401, "only where headers cannot be sent"


def test_a_token_is_of_its_key_and_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = Key("one", digest_of("1")), Key("two: b", digest_of("2"))
    keys = Keys([one, two], "secret")
    token = keys.make_token(two)
    assert keys.find_token(token) is two
    assert Keys([one, two], "secret").find_token(token) is two, "another server of the same secret"
    for others in (Keys([one, two]), Keys([one], "secret")):
        with pytest.raises(ApiError):
            others.find_token(token)
    late = time.time() + TOKEN_S + 1
    monkeypatch.setattr(time, "time", lambda: late)
    with pytest.raises(ApiError):
        keys.find_token(token)


@given(token=st.text() | st.from_regex(r"[\w=-]*\.[\w=-]*", fullmatch=True))
def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(ApiError) as error:
        Keys([Key("one", digest_of("1"))]).find_token(token)
    assert error.value.code == "invalid_api_key"


def test_without_keys_anyone_may_have_a_token() -> None:
    keys = Keys([])
    assert keys.find("whatever") is ANYONE
    assert keys.find_token(keys.make_token(ANYONE)) is ANYONE


# The file.


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ('{"keys": []}', "keys: "),
        (json.dumps({"keys": [entry("a"), entry("a")]}), "2 keys of the name 'a'"),
        (json.dumps({"keys": [entry("a", rate="often")]}), "write for example 60/minute"),
        (json.dumps({"keys": [entry("a", sessions=2)]}), "keys.0.sessions"),
        (json.dumps({"keys": [{"name": "a", "sha256": "secret"}]}), "keys.0.sha256"),
        (json.dumps({"keys": [entry("a\nb")]}), "keys.0.name"),
    ],
)
def test_a_wrong_file_of_keys_is_told(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=problem) as error:
        read_keys(path)
    assert str(path) in str(error.value)
    with pytest.raises(ValueError, match="cannot read"):
        read_keys(tmp_path / "missing.json")


def test_a_file_of_keys_allows_other_addresses(tmp_path: Path) -> None:
    path = write_keys(tmp_path, entry("kiosk"))
    assert load_settings(host="0.0.0.0", keys_file=path).keys_file == path
