"""A server that speaks the messages of `sled serve`, and says what it was told.

The frameworks are tested against it where there is no model. Each character lasts 10 ms, and its
sample value is its code point, so that a test reads the text from the audio.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import websockets

CHAR_S = 0.01


class FakeServer:
    """Listens at a port of its own, in a thread.

    Args:
        refuse: Whether there is no room.
        marks: Whether its model tells when words are said.
        deaf: Whether it never answers.
        key: The key that it wants. None: it needs none.

    Attributes:
        told: The messages of all connections, in order.
        connections: How many there have been.
        num_open: How many there are.
    """

    def __init__(
        self,
        refuse: bool = False,
        marks: bool = True,
        deaf: bool = False,
        key: str | None = None,
    ) -> None:
        self.refuse, self.marks, self.deaf, self.key = refuse, marks, deaf, key
        self.told: list[dict[str, Any]] = []
        self.connections = self.num_open = 0
        self._sockets: set[websockets.ServerConnection] = set()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def __enter__(self) -> FakeServer:
        self._thread.start()
        assert self._started.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        options = {"process_request": self._check_key, "close_timeout": 0.2}
        async with websockets.serve(self._serve, "127.0.0.1", 0, **options) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            self._started.set()
            await self._stop.wait()

    def said(self, kind: str) -> list[dict[str, Any]]:
        """The messages of a kind."""
        return [one for one in self.told if one["type"] == kind]

    def _check_key(
        self, socket: websockets.ServerConnection, request: websockets.Request
    ) -> websockets.Response | None:
        if self.key in (None, request.headers.get("authorization", "").removeprefix("Bearer ")):
            return None
        return socket.respond(401, "wrong key")

    def hang_up(self) -> None:
        """Close all connections."""

        async def close() -> None:
            for socket in list(self._sockets):
                await socket.close(1012)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(20)

    async def _serve(self, socket: websockets.ServerConnection) -> None:
        self.connections += 1
        self.num_open += 1
        self._sockets.add(socket)
        try:
            await self._talk(socket)
        finally:
            self.num_open -= 1
            self._sockets.discard(socket)

    async def _talk(self, socket: websockets.ServerConnection) -> None:
        text, rate, done_chars = "", 0, 0

        async def send(kind: str, **fields: Any) -> None:
            await socket.send(json.dumps({"type": kind, **fields}))

        async def end(**fields: Any) -> None:
            nonlocal text, done_chars
            text, done_chars = "", 0
            await send("audio.done", **({"cancelled": False, "error": False} | fields))
            await send("session.done")

        async for raw in socket:
            message = json.loads(raw)
            self.told.append(message)
            kind = message["type"]
            if self.deaf:
                continue
            if kind == "session.config" and message.get("voice") == "nobody":
                fields = {"code": "voice_not_found", "message": "no such voice", "fatal": False}
                await send("error", **fields)
            elif kind == "session.config" and message["marks"] == "word" and not self.marks:
                await send("error", code="marks_unsupported", message="no marks", fatal=False)
            elif kind == "session.config":
                rate = message["sample_rate"]
                await send("session.created", sample_rate=rate)
            elif kind == "input.text" and self.refuse:
                await send("error", code="at_capacity", message="full", fatal=True)
                await end(error=True)
                await socket.close(1013)
                return
            elif kind == "input.done" and not text.strip():
                await send("error", code="text_empty", message="no text", fatal=False)
                if text:
                    await end(error=True)
            elif kind in ("input.text", "input.done"):
                text += message.get("text", "")
                # Words are said when they are complete.
                end_char = len(text) if kind == "input.done" else text.rfind(" ") + 1
                if end_char > done_chars:
                    await socket.send(audio_of(text[done_chars:end_char], rate))
                    found = re.finditer(r"\w+", text[:end_char])
                    words = [one for one in found if one.start() >= done_chars]
                    if self.marks:
                        await send("audio.marks", marks=[mark(one) for one in words])
                    done_chars = end_char
                if kind == "input.done":
                    await end()
            elif kind == "response.cancel" and text:
                heard = text[: round(message["played_ms"] / 1000 / CHAR_S)]
                await end(cancelled=True, heard_text=heard)


def mark(word: re.Match[str]) -> dict[str, Any]:
    return {
        "text": word[0],
        "start_ms": 1000 * CHAR_S * word.start(),
        "end_ms": 1000 * CHAR_S * word.end(),
        "start_char": word.start(),
        "end_char": word.end(),
    }


def audio_of(text: str, rate: int) -> bytes:
    """The speech of a text."""
    samples = np.repeat([ord(one) for one in text], round(CHAR_S * rate))
    return samples.astype("<i2").tobytes()


def text_of(audio: bytes, rate: int) -> str:
    """The text of speech; frameworks may add silence."""
    samples = np.frombuffer(audio, "<i2")[:: round(CHAR_S * rate)]
    return "".join(map(chr, samples)).replace("\0", "")


async def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something holds."""
    for _ in range(int(seconds / 0.01)):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to hold")
