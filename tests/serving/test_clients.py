"""Clients as docs/clients.md describes them: examples run, requests of programs are replayed."""

import json
import re
import threading
import wave
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.serving.conftest import Running

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```py\n(.*?)```", PAGE, flags=re.DOTALL)


def example(word: str, running: Running) -> str:
    """The block of the page with a word in it, for a server that runs."""
    (block,) = (one for one in BLOCKS if word in one)
    return block.replace("127.0.0.1:8000", running.url.removeprefix("http://"))


def execute(block: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(block, "example", "exec"), namespace)
    return namespace


class ChatServer(ThreadingHTTPServer):
    """Streams tokens as OpenAI's API does; the last one waits."""

    def __init__(self, tokens: list[str], wait: Callable[[], None]) -> None:
        super().__init__(("127.0.0.1", 0), ChatHandler)
        self.tokens, self.wait = tokens, wait
        self.asked: list[dict[str, Any]] = []


class ChatHandler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self) -> None:
        size = int(self.headers["content-length"])
        self.server.asked.append(json.loads(self.rfile.read(size)))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        *first, last = self.server.tokens
        for token in first:
            self._send({"content": token})
        self.server.wait()
        self._send({"content": last})
        self._send({})
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, delta: dict[str, str]) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        event = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "x"}
        self.wfile.write(f"data: {json.dumps(event | {'choices': [choice]})}\n\n".encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def chat_server(served: Running) -> Iterator[ChatServer]:
    def sockets_heard() -> float:
        labels = {"door": "socket"}
        found = served.server.registry.get_sample_value("sled_first_audio_seconds_count", labels)
        return found or 0.0

    before = sockets_heard()
    tokens = ["four ", "two ", "seven one nine ", "four ", "two seven one ", "nine"]
    server = ChatServer(tokens, lambda: served.wait_until(lambda: sockets_heard() > before))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def test_a_chat_model_is_spoken_before_its_last_token(
    served: Running, chat_server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    block = example("AsyncOpenAI", served)
    execute(block.replace("127.0.0.1:11434", f"127.0.0.1:{chat_server.server_port}"))
    with wave.open("answer.wav") as file:
        assert file.getframerate() == 24000
        assert file.getnframes() > 12000
    assert chat_server.asked[0]["messages"][0]["content"] == "Why is the sky blue?"


def test_the_gradio_page_streams_audio(served: Running) -> None:
    gradio = pytest.importorskip("gradio")
    found = execute(example("gradio", served))
    assert isinstance(found["demo"], gradio.Interface)
    check_speaks(found["speak"])


def test_the_function_of_the_gradio_page_without_gradio(served: Running) -> None:
    block = example("gradio", served).replace("import gradio as gr", "")
    check_speaks(execute(block[: block.index("demo =")])["speak"])


def check_speaks(speak: Callable[[str], Iterator[tuple[int, np.ndarray]]]) -> None:
    parts = list(speak("four two seven one nine " * 4))
    assert {rate for rate, _ in parts} == {24000}
    assert len(parts) > 1 and all(len(samples) == 12000 for _, samples in parts[:-1])


@pytest.mark.parametrize("framework", ["pipecat", "livekit"])
def test_the_voice_of_a_framework_is_made(framework: str, served: Running) -> None:
    pytest.importorskip("pipecat" if framework == "pipecat" else "livekit.agents")
    assert execute(example(f"sled.integrations.{framework}", served))["tts"] is not None


def test_open_webui(serve: Callable[..., Running]) -> None:
    """It lists models and voices without a key, and asks with more headers than it needs."""
    with httpx.Client(base_url=f"{serve(keys='secret').url}/v1", timeout=60) as client:
        assert "tts-1" in [one["id"] for one in client.get("/audio/models").json()["models"]]
        voices = client.get("/audio/voices").json()["voices"]
        assert {one["id"]: one["name"] for one in voices} == {"tiny": "tiny"}
        headers = {
            "authorization": "Bearer secret",
            "x-openwebui-user-name": "Ann",
            "x-openwebui-user-id": "1",
            "x-openwebui-user-email": "ann@example.org",
            "x-openwebui-user-role": "user",
        }
        body = {"model": "tts-1", "input": "four two seven", "voice": "alloy"}
        answer = client.post("/audio/speech", json=body, headers=headers)
        assert answer.headers["content-type"] == "audio/mpeg"
        assert len(answer.content) > 1000


@pytest.mark.parametrize("voice", ["alloy", "echo", "fable", "onyx", "nova", "shimmer"])
def test_sillytavern_with_its_defaults(voice: str, client: httpx.Client) -> None:
    body = {
        "input": "four",
        "response_format": "mp3",
        "voice": voice,
        "speed": 1,
        "model": "tts-1",
    }
    # Without a key it sends an empty one.
    answer = client.post("/v1/audio/speech", json=body, headers={"authorization": "Bearer"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/mpeg"
