"""Instructions, other languages and conversion: of models that know them, and of others."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
import websockets

from sled import TTS, Prompt
from sled.serving.voices import uploads
from sled.serving.voices.samples import MAX_SAMPLE_S, decode_sample
from tests.debug import debug_waveform
from tests.serving.conftest import Running, start, stop
from tests.serving.openai.test_speech import TEXT, ask, pcm
from tests.serving.openai.test_voices import AGREES, code, upload
from tests.serving.voices.recordings import as_file
from tests.token_tts import chain_tts

RECORDING = as_file(debug_waveform(1.0))
SAID = as_file(debug_waveform(1.2, seed=1))
TOLD = "seven two one"


@pytest.fixture(scope="module")
def chain() -> Iterator[Running]:
    running = start(tts=chain_tts())
    yield running
    stop(running)


@pytest.fixture
def caller(chain: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=chain.url, timeout=120) as client:
        yield client


@cache
def sample(data: bytes) -> dict[str, Any]:
    decoded = decode_sample(data, "")
    return {"audio": decoded.audio, "sample_rate": decoded.sample_rate}


def expected(tts: TTS, voice: Any) -> np.ndarray:
    audio = tts.say(TEXT, prompt=voice, seed=3, options=tts.default_options).audio
    return np.clip(audio, -1, 1) * 32767


def is_close(data: bytes, audio: np.ndarray) -> bool:
    """Whether samples are those of another computation; phases of HiFT add up rounding errors."""
    given = pcm(data)
    return len(given) == len(audio) and bool(
        np.linalg.norm(given - audio) < 0.02 * np.linalg.norm(audio)
    )


def convert(client: httpx.Client, said: bytes = SAID, **fields: Any) -> httpx.Response:
    files = {"audio_sample": ("said.wav", said)}
    if voice := fields.pop("ref_audio", None):
        files["ref_audio"] = ("voice.wav", voice)
    body = {"response_format": "wav"} | fields
    return client.post("/v1/audio/voice_conversions", data=body, files=files)


def test_instructions_are_followed_with_any_voice(chain: Running, caller: httpx.Client) -> None:
    tts = chain.server.service.tts
    plain = ask(caller).content
    for voice in (None, "ben"):
        told = ask(caller, instructions=f" {TOLD} ", voice=voice)
        assert told.status_code == 200 and "x-sled-ignored" not in told.headers
        assert is_close(told.content, expected(tts, tts.make_voice(voice, instruction=TOLD)))
        assert told.content != plain
    assert ask(caller, instructions="  ").content == plain
    encoded = base64.b64encode(RECORDING).decode()
    # The words of the recording are not asked for, for the model does not read it.
    told = ask(caller, instructions=TOLD, ref_audio=encoded, consent=AGREES)
    prompt = Prompt(None, **sample(RECORDING), instruction=TOLD)
    assert is_close(told.content, expected(tts, prompt))
    long = ask(caller, instructions="seven two one " * 200)
    assert code(long) == (400, "invalid_value") and long.json()["error"]["param"] == "instructions"


def test_a_voice_speaks_another_language(chain: Running, caller: httpx.Client) -> None:
    tts = chain.server.service.tts
    assert upload(caller, RECORDING, name="eve", ref_text="one four nine two").status_code == 201
    foreign = ask(caller, cross_lingual=True, voice="eve")
    prompt = Prompt(None, **sample(RECORDING), instruction="")
    assert is_close(foreign.content, expected(tts, prompt))
    assert foreign.content != ask(caller, voice="eve").content
    assert caller.delete("/v1/audio/voices/eve").status_code == 204


def test_the_socket_takes_instructions(chain: Running) -> None:
    tts = chain.server.service.tts

    async def speak() -> bytes:
        async with websockets.connect(chain.socket_url) as socket:
            config = {"voice": "ben", "instructions": TOLD, "seed": 3}
            await socket.send(json.dumps({"type": "session.config", **config}))
            await socket.send(json.dumps({"type": "input.text", "text": TEXT}))
            await socket.send(json.dumps({"type": "input.done"}))
            audio = b""
            async for message in socket:
                if isinstance(message, bytes):
                    audio += message
                elif json.loads(message)["type"] == "session.done":
                    break
            return audio

    voice = tts.make_voice("ben", instruction=TOLD)
    assert is_close(asyncio.run(speak()), expected(tts, voice))


def test_a_recording_is_said_with_another_voice(chain: Running, caller: httpx.Client) -> None:
    tts = chain.server.service.tts
    said, prompt = sample(SAID), Prompt(None, **sample(RECORDING))
    assert upload(caller, RECORDING, name="eve", ref_text="one four nine two").status_code == 201
    for fields, voice in (
        ({"voice": "ann"}, "ann"),
        ({"voice": "eve"}, prompt),
        ({"ref_audio": RECORDING, "consent": AGREES}, prompt),
    ):
        answer = convert(caller, **fields)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "audio/wav"
        samples, rate = soundfile.read(BytesIO(answer.content), dtype="int16")
        audio = tts.convert(said["audio"], voice, said["sample_rate"])
        assert rate == tts.codec.sample_rate
        assert is_close(samples.tobytes(), np.clip(audio, -1, 1) * 32767)
    small = convert(caller, voice="ann", response_format="mp3", sample_rate=16_000)
    assert small.headers["content-type"] == "audio/mpeg" and len(small.content) > 1000
    assert caller.delete("/v1/audio/voices/eve").status_code == 204


def test_conversions_that_cannot_be_made(
    caller: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code(convert(caller)) == (400, "invalid_value")  # no voice
    assert code(convert(caller, voice="alloy")) == (400, "invalid_value")  # the model's own
    both = convert(caller, voice="ann", ref_audio=RECORDING, consent=AGREES)
    assert code(both) == (400, "invalid_value")
    assert code(convert(caller, voice="nobody")) == (400, "voice_not_found")
    assert code(convert(caller, ref_audio=RECORDING)) == (400, "consent_required")
    assert code(convert(caller, b"no sound", voice="ann")) == (400, "format_unsupported")
    rate = convert(caller, voice="ann", response_format="mp3", sample_rate=9000)
    assert code(rate) == (400, "format_unsupported")
    long = as_file(np.zeros(round((MAX_SAMPLE_S + 1) * 8000), np.float32), "FLAC", 8000)
    assert code(convert(caller, long, voice="ann")) == (400, "prompt_too_long")
    assert code(convert(caller, b"x" * (12 << 20), voice="ann")) == (413, "body_too_large")
    monkeypatch.setattr(uploads, "MAX_WAITING", -1)
    assert code(convert(caller, voice="ann")) == (429, "at_capacity")


def test_a_model_without_these_modes_says_so(served: Running, client: httpx.Client) -> None:
    plain = ask(client)
    told = ask(client, instructions="cheerfully")  # clients of OpenAI send it to any model
    assert told.headers["x-sled-ignored"] == "instructions"
    # Pieces of other sizes round in another way.
    np.testing.assert_allclose(pcm(told.content), pcm(plain.content), rtol=0, atol=1)
    assert "x-sled-ignored" not in ask(client, instructions="", cross_lingual=False).headers
    foreign = ask(client, cross_lingual=True)
    assert code(foreign) == (400, "mode_unsupported")
    assert foreign.json()["error"]["param"] == "cross_lingual"
    assert code(convert(client, voice="alloy")) == (400, "mode_unsupported")

    async def answer(**config: object) -> dict[str, Any]:
        async with websockets.connect(served.socket_url) as socket:
            await socket.send(json.dumps({"type": "session.config"} | config))
            message: dict[str, Any] = json.loads(await socket.recv())
            return message

    created = asyncio.run(answer(instructions="cheerfully"))
    assert (created["type"], created["ignored"]) == ("session.created", ["instructions"])
    error = asyncio.run(answer(cross_lingual=True))
    assert (error["type"], error["code"]) == ("error", "mode_unsupported")
