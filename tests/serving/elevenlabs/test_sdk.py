"""The client of ElevenLabs, unchanged, over TLS."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from elevenlabs import VoiceSettings
from elevenlabs.client import AsyncElevenLabs, ElevenLabs
from elevenlabs.core.api_error import ApiError

from tests.serving.conftest import NAME, Running
from tests.serving.openai.test_speech import pcm
from tests.serving.test_encoding import decoded
from tests.test_docs import PAGES, blocks

TEXT = "four two seven one"
SPEECH = {"voice_id": NAME, "text": TEXT, "seed": 3, "output_format": "pcm_24000"}


@pytest.fixture
def client(secure: Running, trusted: ssl.SSLContext) -> ElevenLabs:
    return ElevenLabs(base_url=secure.url, api_key="any")


@pytest.fixture
def spoken(secure: Running, trusted: ssl.SSLContext) -> np.ndarray:
    """The samples of OpenAI's door with the same seed."""
    body = {"input": TEXT, "response_format": "pcm", "seed": 3}
    url = f"{secure.url}/v1/audio/speech"
    return pcm(httpx.post(url, json=body, verify=trusted, timeout=60).content)


def test_speech(client: ElevenLabs, spoken: np.ndarray) -> None:
    for convert in (client.text_to_speech.convert, client.text_to_speech.stream):
        audio = b"".join(convert(**SPEECH, model_id="eleven_flash_v2_5"))
        np.testing.assert_allclose(pcm(audio), spoken, atol=1)


def test_a_model_without_times_says_so(client: ElevenLabs) -> None:
    speech = client.text_to_speech
    for ask in (
        speech.convert_with_timestamps,
        lambda **how: list(speech.stream_with_timestamps(**how)),
    ):
        with pytest.raises(ApiError) as error:
            ask(**SPEECH)
        assert error.value.body["detail"]["status"] == "marks_unsupported"


def test_the_asynchronous_client(
    secure: Running, trusted: ssl.SSLContext, spoken: np.ndarray
) -> None:
    async def run() -> bytes:
        client = AsyncElevenLabs(base_url=secure.url, api_key="any")
        return b"".join([part async for part in client.text_to_speech.stream(**SPEECH)])

    np.testing.assert_allclose(pcm(asyncio.run(run())), spoken, atol=1)


@pytest.mark.parametrize("name", ["mp3_44100_128", "mp3_22050_32", "opus_48000_64", "ulaw_8000"])
def test_formats(client: ElevenLabs, spoken: np.ndarray, name: str) -> None:
    audio = b"".join(client.text_to_speech.convert(**SPEECH | {"output_format": name}))
    kind, rate = name.split("_")[:2]
    seconds = len(decoded(kind, audio, int(rate))) / int(rate)
    assert 0 <= seconds - len(spoken) / 24_000 <= 0.15


def test_speed(client: ElevenLabs, spoken: np.ndarray) -> None:
    settings = VoiceSettings(speed=1.25, stability=0.5)
    audio = b"".join(client.text_to_speech.convert(**SPEECH, voice_settings=settings))
    assert len(pcm(audio)) == pytest.approx(len(spoken) / 1.25, rel=0.05)


def test_text_that_is_still_being_written(client: ElevenLabs, spoken: np.ndarray) -> None:
    def text() -> Iterator[str]:
        yield from TEXT.split()

    audio = client.text_to_speech.convert_realtime(
        NAME, text=text(), model_id="eleven_turbo_v2", output_format="pcm_24000"
    )
    assert len(pcm(b"".join(audio))) > 0.5 * len(spoken)


def test_voices(client: ElevenLabs) -> None:
    for voices in (client.voices.get_all().voices, client.voices.search().voices):
        assert [(one.voice_id, one.name, one.category) for one in voices] == [
            (NAME, NAME, "premade")
        ]
    assert client.voices.get(NAME).name == NAME


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"voice_id": "nobody"}, 400, "voice_not_found"),
        ({"text": " "}, 400, "text_empty"),
        ({"text": "a" * 50_001}, 400, "text_too_long"),
        ({"model_id": "whisper"}, 404, "model_not_found"),
        ({"seed": -1}, 400, "invalid_value"),
        ({"output_format": "midi"}, 400, "format_unsupported"),
        ({"output_format": "mp3_44100"}, 400, "format_unsupported"),
        ({"output_format": "mp3_44100_9999"}, 400, "format_unsupported"),
        ({"output_format": "opus_44100_64"}, 400, "format_unsupported"),
        ({"output_format": "pcm_7999"}, 400, "format_unsupported"),
    ],
)
def test_errors(client: ElevenLabs, changes: dict[str, object], status: int, code: str) -> None:
    with pytest.raises(ApiError) as error:
        list(client.text_to_speech.stream(**SPEECH | changes))
    assert error.value.status_code == status
    assert error.value.body["detail"]["status"] == code
    assert error.value.body["detail"]["message"]


def test_errors_of_text_that_is_still_being_written(client: ElevenLabs) -> None:
    with pytest.raises(ApiError) as error:
        list(client.text_to_speech.convert_realtime("nobody", text=iter(["one"])))
    assert (error.value.status_code, error.value.body["error"]) == (1008, "voice_not_found")


@pytest.mark.parametrize("path", ["", "/stream"])
@pytest.mark.parametrize("patience_s", [0.05, 0.5])
def test_who_leaves_frees_the_slot(served: Running, path: str, patience_s: float) -> None:
    url = f"{served.url}/v1/text-to-speech/{NAME}{path}"
    with (
        pytest.raises(httpx.TimeoutException),
        httpx.stream("POST", url, json={"text": TEXT * 500}, timeout=patience_s) as answer,
    ):
        next(answer.iter_raw())
        raise httpx.ReadTimeout("enough")
    served.wait_until(lambda: served.server.active == 0)


def test_keys(serve: Callable[..., Running]) -> None:
    running = serve(keys=["secret"])
    right, wrong = (ElevenLabs(base_url=running.url, api_key=key) for key in ("secret", "other"))
    assert b"".join(right.text_to_speech.convert(**SPEECH))
    with pytest.raises(ApiError) as error:
        list(wrong.text_to_speech.convert(**SPEECH))
    assert error.value.status_code == 401
    assert error.value.body["detail"]["status"] == "invalid_api_key"


def test_the_example_of_the_page(
    served: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = (one for one in blocks(PAGES["docs/serving.md"], "py") if "elevenlabs" in one)
    example = example.replace("http://127.0.0.1:8000", served.url).replace("english", NAME)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "example", "exec"), {})
    assert (tmp_path / "speech.mp3").stat().st_size > 1000
