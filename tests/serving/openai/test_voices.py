"""Voices that clients upload, name, hear and delete, and the consents that come with them."""

import asyncio
import base64
import json
import logging
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors import safe_open

from sled.serving.voices import uploads
from sled.serving.voices.samples import decode_sample
from sled.streaming.voice import Prompt
from tests.serving.conftest import NAME, Running
from tests.serving.openai.test_speech import TEXT, ask, pcm
from tests.serving.test_keys import bearer, entry, write_keys
from tests.serving.voices.recordings import WORDS, as_file, tone

RECORDING = as_file(tone())
AGREES = "The speaker agreed on 1 May."


def upload(
    client: httpx.Client, data: bytes = RECORDING, file: str = "voice.wav", **fields: str | None
) -> httpx.Response:
    values = {"name": "anna", "ref_text": WORDS, "consent": AGREES} | fields
    return client.post(
        "/v1/audio/voices",
        data={name: value for name, value in values.items() if value is not None},
        files={"audio_sample": (file, data)},
    )


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "voices").mkdir()
    return tmp_path / "voices"


@pytest.fixture
def keeping(serve: Callable[..., Running], folder: Path) -> httpx.Client:
    return httpx.Client(base_url=serve(voices=folder).url, timeout=60)


# A voice from its upload to its end.


def test_a_voice_speaks_as_its_recording(
    serve: Callable[..., Running], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running = serve(voices=folder)
    client = httpx.Client(base_url=running.url, timeout=60)
    with caplog.at_level(logging.INFO, "sled"):
        made = upload(client, speaker_description="low", language="en-GB")
    assert made.status_code == 201
    voice = made.json()
    assert voice["success"] and voice["voice"]["id"] == voice["id"]
    assert (voice["object"], voice["name"], voice["kind"]) == ("audio.voice", "anna", "uploaded")
    assert voice["id"] in caplog.text

    tts = running.server.service.tts
    sample = decode_sample(RECORDING, "")
    prompt = Prompt(WORDS, sample.audio, sample_rate=sample.sample_rate)
    expected = tts.say(TEXT, prompt=prompt, seed=3, options=tts.default_options).audio
    for name in ("anna", voice["id"]):
        spoken = pcm(ask(client, voice=name).content)
        np.testing.assert_allclose(spoken / 32767, np.clip(expected, -1, 1), atol=1e-4)
    assert len(pcm(ask(client).content)) != len(expected) or np.any(
        np.abs(pcm(ask(client).content) / 32767 - expected) > 0.01
    )

    listed = client.get("/v1/audio/voices").json()
    assert [one["name"] for one in listed["voices"]] == [NAME, "anna"]
    assert [one["id"] for one in listed["uploaded_voices"]] == [voice["id"]]
    assert client.get("/v1/audio/voices/anna").json() == voice["voice"]
    preview = client.get(f"/v1/audio/voices/{voice['id']}/preview")
    assert preview.headers["content-type"] == "audio/mpeg" and len(preview.content) > 500

    assert client.delete(f"/v1/audio/voices/{voice['id']}").status_code == 204
    assert code(client.get("/v1/audio/voices/anna")) == (404, "not_found")
    assert code(ask(client, voice="anna")) == (400, "voice_not_found")
    assert not list(folder.glob("*.safetensors"))


def test_a_file_tells_who_agreed_and_survives_a_restart(
    serve: Callable[..., Running], folder: Path, tmp_path: Path
) -> None:
    keys = write_keys(tmp_path, entry("kiosk"), entry("phone"))
    client = httpx.Client(base_url=serve(voices=folder, keys_file=keys).url, timeout=60)
    client.headers.update(bearer("kiosk"))
    made = upload(client, name="Anna B.").json()
    (path,) = folder.glob("*.safetensors")
    assert path.stem == made["id"]
    with safe_open(str(path), "pt") as file:
        record = json.loads(file.metadata()["upload"])
    assert record["key"] == "kiosk" and record["consent"] == AGREES
    assert len(record["sample_sha256"]) == 64

    before = ask(client, voice=made["name"])
    again = httpx.Client(base_url=serve(voices=folder, keys_file=keys).url, timeout=60)
    assert code(again.delete(f"/v1/audio/voices/{made['id']}", headers=bearer("phone"))) == (
        403,
        "permission_denied",
    )
    again.headers.update(bearer("kiosk"))
    np.testing.assert_allclose(
        pcm(ask(again, voice=made["name"]).content), pcm(before.content), atol=1
    )
    assert code(again.delete(f"/v1/audio/voices/{NAME}")) == (403, "permission_denied")
    assert again.delete(f"/v1/audio/voices/{made['id']}").status_code == 204


def test_servers_that_share_a_folder_know_each_others_voices(
    serve: Callable[..., Running], folder: Path
) -> None:
    one, other = (httpx.Client(base_url=serve(voices=folder).url, timeout=60) for _ in range(2))
    made = upload(one)
    assert made.status_code == 201
    spoken = [pcm(ask(client, voice="anna").content) for client in (one, other)]
    np.testing.assert_allclose(spoken[1], spoken[0], atol=1)
    assert code(upload(other)) == (409, "voice_exists")
    assert other.get("/v1/audio/voices").json()["uploaded_voices"] == [made.json()["voice"]]
    assert other.delete("/v1/audio/voices/anna").status_code == 204
    assert code(ask(one, voice="anna")) == (400, "voice_not_found")
    assert upload(one).status_code == 201


def test_a_voice_of_any_name(keeping: httpx.Client) -> None:
    assert upload(keeping, name="Zo\u00eb \u58f0").status_code == 201
    answer = ask(keeping, voice="Zo\u00eb \u58f0")
    assert answer.status_code == 200
    assert answer.headers["x-sled-voice"] == "Zo%C3%AB %E5%A3%B0"


def test_without_a_folder_a_voice_is_there_until_the_server_ends(
    serve: Callable[..., Running],
) -> None:
    client = httpx.Client(base_url=serve().url, timeout=60)
    assert upload(client).status_code == 201
    assert ask(client, voice="anna").status_code == 200


def test_a_voice_that_is_deleted_while_it_speaks_speaks_on(keeping: httpx.Client) -> None:
    upload(keeping)
    expected = ask(keeping, input=TEXT * 10, voice="anna").content

    async def run() -> bytes:
        body = {"input": TEXT * 10, "response_format": "pcm", "seed": 3, "voice": "anna"}
        async with (
            httpx.AsyncClient(base_url=keeping.base_url, timeout=60) as client,
            client.stream("POST", "/v1/audio/speech", json=body) as answer,
        ):
            parts = answer.aiter_bytes(chunk_size=None)
            audio = await anext(parts)
            assert (await client.delete("/v1/audio/voices/anna")).status_code == 204
            return audio + b"".join([part async for part in parts])

    np.testing.assert_allclose(pcm(asyncio.run(run())), pcm(expected), atol=1)


# What is refused.


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"name": NAME}, (409, "voice_exists")),
        ({"name": "alloy"}, (409, "voice_exists")),
        ({"name": ""}, (400, "invalid_value")),
        ({"name": " anna"}, (400, "invalid_value")),
        ({"name": "../anna"}, (400, "invalid_value")),
        ({"name": "a\0b"}, (400, "invalid_value")),
        ({"name": "a" * 65}, (400, "invalid_value")),
        ({"name": None}, (400, "invalid_value")),
        ({"language": "English!"}, (400, "invalid_value")),
        ({"consent": None}, (400, "consent_required")),
        ({"consent": "  "}, (400, "consent_required")),
        ({"ref_text": "one four " * 40}, (400, "invalid_value")),
        ({"data": b"garbage"}, (400, "format_unsupported")),
        ({"data": as_file(np.zeros(9000))}, (400, "invalid_value")),
        ({"data": as_file(tone(61))}, (400, "prompt_too_long")),
        ({"data": bytes((10 << 20) + 1)}, (413, "body_too_large")),
        ({"data": bytes(12 << 20)}, (413, "body_too_large")),
    ],
)
def test_uploads_that_are_refused(
    client: httpx.Client, fields: dict[str, Any], refusal: tuple[int, str]
) -> None:
    answer = upload(client, **fields)
    assert code(answer) == refusal
    assert "pattern" not in answer.json()["error"]["message"]  # which only programmers read
    assert len(client.get("/v1/audio/voices").json()["uploaded_voices"]) == 0


def test_a_transcript_is_needed_where_there_is_no_recogniser(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing() -> None:
        raise ValueError("run pip install")

    monkeypatch.setattr(uploads, "load_recognizer", missing)
    for text in (None, "", "  "):
        answer = upload(client, ref_text=text)
        assert code(answer) == (400, "missing_transcript")
        assert "cannot recognise them" in answer.json()["error"]["message"]
        assert "run pip install" in caplog.text


def test_a_recording_without_a_transcript_is_recognised(
    keeping: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "load_recognizer", lambda: None)
    monkeypatch.setattr(
        "sled.streaming.voice_maker.load_recognizer", lambda model: lambda audio, rate: WORDS
    )
    assert upload(keeping, ref_text=None).status_code == 201


def test_forms_that_are_none(client: httpx.Client) -> None:
    answer = client.post("/v1/audio/voices", json={"name": "anna"})
    assert code(answer) == (415, "media_type_unsupported")
    answer = client.post("/v1/audio/voices", data={"name": "anna", "audio_sample": "text"})
    assert code(answer) == (415, "media_type_unsupported")
    answer = client.post("/v1/audio/voices", data={"audio_sample": "text"}, files={"name": b"anna"})
    assert code(answer) == (400, "invalid_value")
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post("/v1/audio/voices", content=b"--x\r\nbroken", headers=headers)
    assert code(answer) == (400, "invalid_value")


def test_a_full_disk_is_told_and_leaves_nothing(
    keeping: httpx.Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    full_disk = upload(keeping)
    assert code(full_disk) == (507, "storage_full")
    assert full_disk.headers["x-should-retry"] == "false"
    assert code(record(keeping)) == (507, "storage_full")
    assert not [path for path in folder.rglob("*") if path.is_file()]
    monkeypatch.undo()
    assert upload(keeping).status_code == 201
    assert upload(keeping).headers["x-should-retry"] == "false"  # the name is taken


def test_many_uploads_at_a_time_wait_or_are_refused(
    keeping: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_WAITING", 2)

    async def run() -> list[int]:
        async with httpx.AsyncClient(base_url=keeping.base_url, timeout=60) as client:
            answers = [
                client.post(
                    "/v1/audio/voices",
                    data={"name": f"anna {at}", "ref_text": WORDS, "consent": AGREES},
                    files={"audio_sample": RECORDING},
                )
                for at in range(6)
            ]
            return sorted(answer.status_code for answer in await asyncio.gather(*answers))

    statuses = asyncio.run(run())
    assert set(statuses) == {201, 429} and statuses.count(201) >= 3
    listed = keeping.get("/v1/audio/voices").json()["uploaded_voices"]
    assert len(listed) == statuses.count(201)


def test_two_uploads_of_one_name_make_one_voice(keeping: httpx.Client) -> None:
    async def run() -> list[int]:
        async with httpx.AsyncClient(base_url=keeping.base_url, timeout=60) as client:
            fields = {"name": "anna", "ref_text": WORDS, "consent": AGREES}
            answers = [
                client.post("/v1/audio/voices", data=fields, files={"audio_sample": RECORDING})
                for _ in range(3)
            ]
            return sorted(answer.status_code for answer in await asyncio.gather(*answers))

    assert asyncio.run(run()) == [201, 409, 409]


def test_files_that_are_no_voices_are_left_out(serve: Callable[..., Running], folder: Path) -> None:
    (folder / "broken.safetensors").write_bytes(b"no voice")
    client = httpx.Client(base_url=serve(voices=folder).url, timeout=60)
    assert client.get("/v1/audio/voices?legacy=true").json() == {"voices": [NAME]}
    upload(client)  # a copy of a file that was not complete when it was first seen
    (made,) = folder.glob("voice_*")
    (folder / "broken.safetensors").write_bytes(made.read_bytes())
    assert len(client.get("/v1/audio/voices?legacy=true").json()["voices"]) == 3


# A recording in the request itself.


def test_a_recording_in_the_request(keeping: httpx.Client) -> None:
    upload(keeping)
    expected = pcm(ask(keeping, voice="anna").content)
    given = {
        "ref_audio": "data:audio/wav;base64," + base64.b64encode(RECORDING).decode(),
        "ref_text": WORDS,
        "consent": AGREES,
    }
    for _ in range(2):
        np.testing.assert_allclose(pcm(ask(keeping, **given).content), expected, atol=1)
    assert code(ask(keeping, **given | {"consent": None})) == (400, "consent_required")
    wrong = {"ref_audio": "https://example.org/voice.wav"}
    assert code(ask(keeping, **given | wrong)) == (400, "invalid_value")
    wrong = {"ref_audio": base64.b64encode(b"garbage").decode()}
    assert code(ask(keeping, **given | wrong)) == (400, "format_unsupported")


# Presets.


def test_presets(serve: Callable[..., Running], folder: Path, tmp_path: Path) -> None:
    client = httpx.Client(base_url=serve(voices=folder).url, timeout=60)
    upload(client)
    presets = {
        "alloy": {"voice": "anna"},
        "fast": {"speed": 2},
        "calm": {"temperature": 0.1},
    }
    path = tmp_path / "presets.json"
    path.write_text(json.dumps(presets))
    client = httpx.Client(base_url=serve(voices=folder, presets=path).url, timeout=60)

    def said(**fields: object) -> np.ndarray:
        return pcm(ask(client, **fields).content)

    np.testing.assert_allclose(said(voice="alloy"), said(voice="anna"), atol=1)
    np.testing.assert_allclose(said(voice="fast"), said(speed=2), atol=1)
    np.testing.assert_allclose(said(voice="fast", speed=0.5), said(), atol=1)
    np.testing.assert_allclose(said(voice="calm"), said(temperature=0.1), atol=1)
    np.testing.assert_allclose(said(voice="calm", temperature=1), said(temperature=1), atol=1)
    assert client.get("/v1/audio/voices?legacy=1").json()["voices"] == [
        NAME,
        "anna",
        "fast",
        "calm",
    ]
    client.delete("/v1/audio/voices/anna")
    np.testing.assert_allclose(said(voice="alloy"), said(), atol=1)


# Consents.


def record(client: httpx.Client, **fields: Any) -> httpx.Response:
    values = {"name": "Anna agrees", "language": "en-US"} | fields
    return client.post(
        "/v1/audio/voice_consents", data=values, files={"recording": ("yes.wav", RECORDING)}
    )


def test_recorded_consents(serve: Callable[..., Running], folder: Path, tmp_path: Path) -> None:
    keys = write_keys(tmp_path, entry("kiosk"), entry("phone"))
    flags = {"voices": folder, "keys_file": keys, "consent": "recording"}
    client = httpx.Client(base_url=serve(**flags).url, timeout=60, headers=bearer("kiosk"))
    consent = record(client).json()
    assert (consent["object"], consent["language"]) == ("audio.voice_consent", "en-US")
    at = f"/v1/audio/voice_consents/{consent['id']}"
    assert client.get(at).json() == consent
    assert client.post(at, json={"name": "Anna"}).json() == consent | {"name": "Anna"}
    assert code(client.get(at, headers=bearer("phone"))) == (404, "not_found")
    assert client.get("/v1/audio/voice_consents", headers=bearer("phone")).json()["data"] == []

    assert code(upload(client)) == (400, "consent_required")
    client.headers.update(bearer("phone"))
    assert code(upload(client, consent=consent["id"])) == (400, "consent_required")
    client.headers.update(bearer("kiosk"))
    assert upload(client, consent=consent["id"]).status_code == 201

    other = client  # that began before there was a consent, and now sees it deleted
    client = httpx.Client(base_url=serve(**flags).url, timeout=60, headers=bearer("kiosk"))
    listed = client.get("/v1/audio/voice_consents").json()
    assert [one["name"] for one in listed["data"]] == ["Anna"]
    assert client.delete(at).json() == {
        "object": "audio.voice_consent",
        "id": consent["id"],
        "deleted": True,
    }
    assert client.get("/v1/audio/voices").json()["uploaded_voices"] == []
    assert other.get("/v1/audio/voice_consents").json()["data"] == []
    assert other.get("/v1/audio/voices").json()["uploaded_voices"] == []
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_a_consent_that_is_deleted_while_its_voice_is_made(
    serve: Callable[..., Running], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = httpx.Client(base_url=serve(voices=folder, consent="recording").url, timeout=60)
    consent = record(client).json()["id"]
    make = uploads.Uploads._make

    async def make_late(self: uploads.Uploads, *arguments: Any) -> Any:
        made = await make(self, *arguments)
        self.remove_consent(self.consents.find(consent, "anyone"))
        return made

    monkeypatch.setattr(uploads.Uploads, "_make", make_late)
    assert code(upload(client, consent=consent)) == (400, "consent_required")
    assert client.get("/v1/audio/voices").json()["uploaded_voices"] == []
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_a_server_that_does_not_ask_for_consent(serve: Callable[..., Running]) -> None:
    client = httpx.Client(base_url=serve(consent="off").url, timeout=60)
    assert upload(client, consent=None).status_code == 201


def test_no_shell_and_no_file_of_the_server_is_reached(
    keeping: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of the file that is uploaded goes nowhere."""
    commands = []
    run = subprocess.run

    def watched(command: list[str], **more: Any) -> Any:
        commands.append(command)
        return run(command, **more)

    monkeypatch.setattr(subprocess, "run", watched)
    assert upload(keeping, file="../../$(touch x).wav").status_code == 201
    (command,) = commands
    assert not any("touch" in part for part in command)
