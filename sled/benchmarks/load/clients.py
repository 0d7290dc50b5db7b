"""Callers of several servers. A call never raises: what happened is its outcome.

All callers share an event loop and time is counted from when a caller was due, so that a client or
a server that falls behind shows in the figures.
"""

from __future__ import annotations

import asyncio
import json
import math
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
import websockets

from sled.benchmarks.load.outcome import Ending, Outcome
from sled.benchmarks.load.scripts import Script
from sled.benchmarks.load.transport import LightTransport

# Statuses, close codes and codes of messages that mean: there is no room now.
FULL_STATUSES = (429, 503)
FULL_CLOSES = (1012, 1013)
FULL_CODES = ("at_capacity", "rate_limited", "too_many_sessions", "draining")
CONNECT_S = 10.0
# A server that sends nothing for so long has failed.
SILENCE_S = 60.0


class Refused(Exception):
    """The server has no room."""


class Failed(Exception):
    """The server answered with an error, or not as it should."""


@dataclass
class Call:
    """A call that is going on.

    Attributes:
        outcome: Receives what happens.
        start_s: When the caller was due, by `time.perf_counter`.
    """

    outcome: Outcome
    start_s: float

    def now_s(self) -> float:
        """Seconds since the caller was due."""
        return time.perf_counter() - self.start_s

    def hear(self, samples: int) -> None:
        """Note audio."""
        if samples:
            self.outcome.chunks.append((self.now_s(), samples))

    async def until(self, due_s: float) -> None:
        """Wait until a time in seconds after the caller was due."""
        await asyncio.sleep(max(0.0, due_s - self.now_s()))


class Client(ABC):
    """Calls one server.

    Args:
        url: Its address.
        key: API key. None: none is needed.
        voice: Name of a voice. None: the server's own.
    """

    def __init__(self, url: str, key: str | None = None, voice: str | None = None) -> None:
        self.url, self.key, self.voice = url.rstrip("/"), key, voice
        # Callers are strangers to each other: each opens a connection.
        self._http = httpx.AsyncClient(transport=LightTransport(CONNECT_S, SILENCE_S))

    async def aclose(self) -> None:
        """Close what is open."""
        await self._http.aclose()

    @property
    def headers(self) -> dict[str, str]:
        """Headers that show the key."""
        return {} if self.key is None else {"authorization": f"Bearer {self.key}"}

    async def call(self, outcome: Outcome, start_s: float) -> Outcome:
        """Do what a script says.

        Args:
            outcome: The script, and when the caller is due; receives what happens.
            start_s: When he is due by `time.perf_counter`.

        Returns:
            The outcome.
        """
        call = Call(outcome, start_s)
        try:
            await self._speak(outcome.script, call)
            outcome.ending = Ending.SPOKEN if outcome.chunks else Ending.FAILED
            outcome.reason = "" if outcome.chunks else "no audio came"
        except Refused as error:
            outcome.ending, outcome.reason = Ending.REFUSED, str(error)
        except asyncio.CancelledError:
            outcome.ending, outcome.reason = Ending.FAILED, "it did not end in time"
        except (Failed, httpx.HTTPError, OSError, websockets.WebSocketException) as error:
            outcome.ending = Ending.REFUSED if is_refusal(error) else Ending.FAILED
            outcome.reason = f"{type(error).__name__}: {error}"[:200]
        outcome.ended_s = call.now_s()
        return outcome

    @abstractmethod
    async def _speak(self, script: Script, call: Call) -> None:
        """Speak and listen to the end.

        Raises:
            Refused: If there is no room.
            Failed: If the server is wrong.
        """

    async def says_enough(self, script: Script, count: int, patience_s: float) -> bool:
        """Whether audio comes after so many pieces of a text that goes on."""
        return True


class OpenAIClient(Client):
    """OpenAI's speech API: the whole text goes in, a WAV file comes out as a stream.

    Args:
        url: As in `Client`, without `/v1`.
        key: As in `Client`.
        voice: As in `Client`.
        model: Name of the model.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        voice: str | None = None,
        model: str = "tts-1",
    ) -> None:
        super().__init__(url, key, voice)
        self._model = model

    def _request(self, script: Script) -> httpx.Request:
        body = {
            "model": self._model,
            "input": script.text,
            "voice": self.voice or "alloy",
            "response_format": "wav",
        }
        return self._http.build_request(
            "POST", f"{self.url}/v1/audio/speech", json=body, headers=self.headers
        )

    async def _speak(self, script: Script, call: Call) -> None:
        await call.until(0)
        answer = await self._http.send(self._request(script), stream=True)
        try:
            if answer.status_code in FULL_STATUSES:
                raise Refused(f"status {answer.status_code}")
            if answer.status_code != 200:
                text = (await answer.aread()).decode(errors="replace")
                raise Failed(f"status {answer.status_code}: {text}")
            async for samples in read_wav(answer.aiter_raw(), call.outcome):
                call.hear(samples)
        finally:
            await answer.aclose()


class PocketClient(OpenAIClient):
    """The server of Pocket TTS: a form goes in, a WAV file comes out as a stream."""

    def _request(self, script: Script) -> httpx.Request:
        form = {"text": script.text}
        if self.voice is not None:
            form["voice_url"] = self.voice
        files = {name: (None, value) for name, value in form.items()}  # multipart
        return self._http.build_request(
            "POST", f"{self.url}/tts", files=files, headers=self.headers
        )


class SledClient(OpenAIClient):
    """`sled serve`: whole texts over HTTP, text that is being written over the WebSocket."""

    def _request(self, script: Script) -> httpx.Request:
        body: dict[str, Any] = {
            "input": script.text,
            "response_format": "wav",
            "seed": script.seed,
        }
        if self.voice is not None:
            body["voice"] = self.voice
        return self._http.build_request(
            "POST", f"{self.url}/v1/audio/speech", json=body, headers=self.headers
        )

    async def _speak(self, script: Script, call: Call) -> None:
        if math.isinf(script.writer.pieces_per_s):
            await super()._speak(script, call)
            return
        await call.until(0)
        async with self._connect() as socket:
            await self._configure(socket, script, call.outcome)
            writing = asyncio.ensure_future(self._write(socket, script, call))
            try:
                while (message := await receive(socket)).get("type") != "session.done":
                    call.hear(message.get("samples", 0))
            finally:
                writing.cancel()
                with suppress(asyncio.CancelledError, websockets.ConnectionClosed):
                    await writing

    def _connect(self) -> websockets.connect:
        return websockets.connect(
            self.url.replace("http", "ws", 1) + "/v1/audio/speech/stream",
            additional_headers=self.headers,
            compression=None,
            open_timeout=CONNECT_S,
            close_timeout=1,
            max_size=None,
        )

    async def _configure(
        self, socket: websockets.ClientConnection, script: Script, outcome: Outcome
    ) -> None:
        config: dict[str, Any] = {"type": "session.config", "seed": script.seed}
        if self.voice is not None:
            config["voice"] = self.voice
        await socket.send(json.dumps(config))
        message = await receive(socket)
        if message.get("type") != "session.created":
            raise Failed(f"session.created was expected, not {message}")
        outcome.sample_rate = message["sample_rate"]

    async def _write(self, socket: websockets.ClientConnection, script: Script, call: Call) -> None:
        for due_s, piece in script.pieces():
            await call.until(due_s)
            await socket.send(json.dumps({"type": "input.text", "text": piece}))
        await socket.send(json.dumps({"type": "input.done"}))

    async def says_enough(self, script: Script, count: int, patience_s: float) -> bool:
        """Whether audio comes after so many pieces of a text that goes on."""
        text = "".join(piece for _, piece in script.pieces()[:count])
        async with self._connect() as socket:
            await self._configure(socket, script, Outcome(script, 0))
            await socket.send(json.dumps({"type": "input.text", "text": text}))
            try:
                message = await asyncio.wait_for(receive(socket), patience_s)
                return message.get("type") == "audio.start"
            except asyncio.TimeoutError:
                return False


def is_refusal(error: Exception) -> bool:
    """Whether a socket was refused at its handshake, or closed, since there is no room."""
    if isinstance(error, websockets.InvalidStatus):
        return error.response.status_code in FULL_STATUSES
    if isinstance(error, websockets.ConnectionClosed) and error.rcvd is not None:
        return error.rcvd.code in FULL_CLOSES
    return False


async def receive(socket: websockets.ClientConnection) -> dict[str, Any]:
    """The next message; of audio, only the number of `samples`.

    Raises:
        Refused: If there is no room.
        Failed: If it is an error.
    """
    message = await socket.recv()
    if isinstance(message, bytes):
        return {"samples": len(message) // 2}
    parsed: dict[str, Any] = json.loads(message)
    if parsed.get("type") == "error":
        text = f"{parsed.get('code')}: {parsed.get('message')}"
        raise Refused(text) if parsed.get("code") in FULL_CODES else Failed(text)
    return parsed


async def read_wav(data: AsyncIterator[bytes], outcome: Outcome) -> AsyncIterator[int]:
    """Numbers of samples in the pieces of a WAV file, whose sizes may be left open.

    Args:
        data: The bytes of the file.
        outcome: Receives the sample rate.

    Raises:
        Failed: If it is no WAV file of whole 16-bit samples.
    """
    head, frame_bytes, spare = b"", 0, 0
    async for part in data:
        if frame_bytes:
            spare += len(part)
        else:
            head += part
            found = head.find(b"data")
            if found < 0 or len(head) < found + 8:
                if len(head) > 4096 or (len(head) >= 4 and head[:4] != b"RIFF"):
                    raise Failed("the answer is no WAV file")
                continue
            at = head.find(b"fmt ") + 8
            _, channels, outcome.sample_rate, _, frame_bytes, bits = struct.unpack_from(
                "<HHIIHH", head, at
            )
            if bits != 16 or not channels:
                raise Failed(f"the WAV file has {bits} bits per sample, not 16")
            spare = len(head) - found - 8
        yield spare // frame_bytes
        spare %= frame_bytes
    if not frame_bytes:
        raise Failed("the answer is no WAV file")


CLIENTS: dict[str, type[Client]] = {
    "sled": SledClient,
    "openai": OpenAIClient,
    "pocket": PocketClient,
}
