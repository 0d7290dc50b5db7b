"""HTTP requests: the server that they have come to, and clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import Depends, Request

from sled.serving.errors import ConnectionEnded
from sled.serving.server import Server

T = TypeVar("T")


async def _open_stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


RequestStack = Annotated[AsyncExitStack, Depends(_open_stack)]
"""What a request holds; it is closed when the answer has been sent, or its taker has left."""


def server_of(request: Request) -> Server:
    """The server that a request has come to."""
    server: Server = request.app.state.server
    return server


def speech_headers(model: str, voice: str, seed: int, ignored: Sequence[str]) -> dict[str, str]:
    """Headers of an answer that is speech, the same for all doors.

    Args:
        model: Name of the model.
        voice: Name of the voice.
        seed: Its seed.
        ignored: Fields of the request that are set and have no effect.
    """
    headers = {
        "x-accel-buffering": "no",  # proxies pass the audio on as it comes
        "cache-control": "no-store, no-transform",
        "x-sled-model": _header_value(model),
        "x-sled-voice": _header_value(voice),
        "x-sled-seed": str(seed),
        "x-sled-synthetic": "1",
    }
    if ignored:
        headers["x-sled-ignored"] = _header_value(", ".join(ignored))[:500].strip()
    return headers


def _header_value(text: str) -> str:
    """A text as the value of a header: what is not printable ASCII is percent-encoded."""
    return "".join(
        char if " " <= char <= "~" else quote(char, safe="", errors="replace") for char in text
    )


async def unless_left(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work, which is cancelled if the client leaves before it is done.

    Servers tell a handler that has not answered yet nothing about that; it has to listen.

    Raises:
        ConnectionEnded: If the client has left.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_wait_until_left(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ConnectionEnded("the client has left")
        return task.result()
    finally:
        for one in (task, gone):
            if not one.done():
                one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _wait_until_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
