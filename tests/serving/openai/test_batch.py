"""Several texts in one request, and speech with the times of its words."""

import base64
import json
from collections.abc import Callable

import httpx
import numpy as np
import pytest

from sled.streaming.marks import Mark
from tests.serving.conftest import Running
from tests.serving.openai.test_speech import TEXT, ask, pcm


def audio_of(result: dict[str, str]) -> bytes:
    return base64.b64decode(result["audio_data"])


def test_each_text_sounds_as_it_would_alone(client: httpx.Client) -> None:
    items = [{"input": TEXT}, {"input": "four", "seed": 5}, {"input": TEXT, "speed": 2}]
    body = {"items": items, "seed": 3, "response_format": "pcm"}
    answer = client.post("/v1/audio/speech/batch", json=body).json()
    assert (answer["total"], answer["succeeded"], answer["failed"]) == (3, 3, 0)
    for at, (result, item) in enumerate(zip(answer["results"], items, strict=True)):
        assert (result["index"], result["status"]) == (at, "success")
        assert result["media_type"].startswith("audio/pcm")
        np.testing.assert_allclose(pcm(audio_of(result)), pcm(ask(client, **item).content), atol=1)


def test_files_are_whole(client: httpx.Client) -> None:
    answer = client.post("/v1/audio/speech/batch", json={"items": [{"input": "four"}]}).json()
    data = audio_of(answer["results"][0])
    assert int.from_bytes(data[40:44], "little") == len(data) - 44


def test_a_text_that_fails_does_not_end_the_others(client: httpx.Client) -> None:
    items = [{"input": " "}, {"input": "four"}, {"input": "four", "voice": "nobody"}]
    answer = client.post("/v1/audio/speech/batch", json={"items": items}).json()
    codes = [result.get("code") for result in answer["results"]]
    assert codes == ["text_empty", None, "voice_not_found"]
    assert (answer["succeeded"], answer["failed"]) == (1, 2)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"items": []}, "items"),
        ({"items": [{"input": "a"}] * 33}, "items"),
        ({"items": [{"text": "a"}]}, "items.0.input"),
        ({"items": [{"input": "a", "speed": 99}]}, "speed"),
        ({"items": [{"input": "a"}], "seed": -1}, "seed"),
    ],
)
def test_wrong_fields(client: httpx.Client, body: dict[str, object], param: str) -> None:
    error = client.post("/v1/audio/speech/batch", json=body).json()["error"]
    assert (error["code"], error["param"]) == ("invalid_value", param)


def test_a_batch_fits_into_few_slots(serve: Callable[..., Running]) -> None:
    running = serve(max_sessions=1, queue_s=0)
    body = {"items": [{"input": "four"}] * 3}
    answer = httpx.post(f"{running.url}/v1/audio/speech/batch", json=body, timeout=60).json()
    assert answer["succeeded"] == 3


# Times.


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch) -> list[Mark]:
    """What a model that tells places would say; the tiny one does not."""
    told = [Mark("four", 0.1, 0.2, 0, 4), Mark("two", 0.2, 0.4, 5, 8)]
    left = list(told)
    utterance = "sled.serving.service.Utterance"
    monkeypatch.setattr(f"{utterance}.has_marks", True)
    monkeypatch.setattr(
        f"{utterance}.take_marks",
        lambda self, kind: [left.pop(0)] if left and self.num_samples else [],
    )
    return told


def captioned(client: httpx.Client, **fields: object) -> list[dict[str, object]]:
    body = {"input": TEXT, "response_format": "pcm", "seed": 3} | fields
    answer = client.post("/dev/captioned_speech", json=body)
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("speed", [1.0, 2.0])
def test_times_of_words(
    client: httpx.Client, marks: list[Mark], stream: bool, speed: float
) -> None:
    lines = captioned(client, stream=stream, speed=speed)
    times = [one for line in lines for one in line["timestamps"]]
    expected = [
        {"word": one.text, "start_time": one.start_s / speed, "end_time": one.end_s / speed}
        for one in marks
    ]
    assert times == expected[: len(times)] and times
    assert (len(lines) > 1) == stream
    audio = b"".join(base64.b64decode(line["audio"]) for line in lines)
    np.testing.assert_allclose(pcm(audio), pcm(ask(client, speed=speed).content), atol=1)


def test_a_model_that_does_not_know_the_times_says_so(client: httpx.Client) -> None:
    assert {line["timestamps"] for line in captioned(client)} == {None}
