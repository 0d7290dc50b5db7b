"""One text of a connection, which is said while it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from sled.serving.elevenlabs.alignment import Aligner, Alignment, concatenate
from sled.serving.elevenlabs.messages import audio_message
from sled.serving.encoding import AudioEncoder
from sled.serving.server import Server
from sled.serving.service import SpeechRequest
from sled.serving.text_feed import TextFeed

DOOR = "elevenlabs"


@dataclass(eq=False)
class Context:
    """A text, and how it is said.

    Attributes:
        name: Its name. None: it has none.
        text: The text.
        request: How it is said.
        encoder: Encodes the audio.
        speed: Factor by which the audio is faster than the speech.
        sync_alignment: Whether every message with audio has an alignment.
        has_phrases: Whether each piece of the text is a phrase, with or without a space behind it.
        is_flushed: Whether nothing has come since the client wanted all of it said.
        cancelled: Whether the client wants no more of it.
        task: Says it.
    """

    name: str | None
    text: TextFeed
    request: SpeechRequest
    encoder: AudioEncoder
    speed: float
    sync_alignment: bool
    has_phrases: bool = False
    is_flushed: bool = True
    cancelled: bool = False
    task: asyncio.Task[None] | None = None
    _last: str = " "  # the last character of the text
    _waiting: list[Alignment] = field(default_factory=list)
    _aligned_ms: int = 0  # how far the alignments go that have been sent

    def feed(self, text: str) -> None:
        """Take more text.

        Raises:
            ApiError: `text_too_long`.
        """
        if not text:
            self.text.feed("")  # has come, too
            return
        if self.has_phrases and not self._last.isspace() and not text[0].isspace():
            text = " " + text
        self.text.feed(text)
        self.is_flushed, self._last = False, text[-1]

    def flush(self) -> None:
        """Have the text so far said to its end."""
        if not self.is_flushed:
            self.is_flushed = True
            self.text.end_segment()

    def cancel(self) -> None:
        """Stop saying it."""
        self.cancelled = True
        if self.task is not None:
            self.task.cancel()

    async def say(
        self, server: Server, send: Callable[[Context, dict[str, Any]], Awaitable[None]]
    ) -> None:
        """Say the text until it is complete.

        Args:
            server: The server.
            send: Sends a message.

        Raises:
            ApiError: If it cannot be said.
        """
        async with server.open(DOOR, self.request, self.text) as utterance:
            aligner = Aligner(utterance, self.speed, ends_with_space=True)
            async for piece in utterance.audio():
                await self._send(send, self.encoder.encode(piece), aligner.take())
            await self._send(send, self.encoder.finish(), aligner.take(ended=True), ended=True)
            server.count_encoding(self.encoder)

    async def _send(
        self,
        send: Callable[[Context, dict[str, Any]], Awaitable[None]],
        data: bytes,
        alignment: Alignment | None,
        *,
        ended: bool = False,
    ) -> None:
        """Send audio, with the alignments that have come since the last one."""
        if alignment is not None:
            self._waiting.append(alignment)
        if not data and not (ended and self._waiting):
            return
        alignment = concatenate(self._waiting)
        self._waiting = []
        since_ms = 0 if self.sync_alignment else self._aligned_ms
        self._aligned_ms = max(self._aligned_ms, *alignment.ends_ms, 0)
        has_any = bool(alignment.characters) or self.sync_alignment
        await send(
            self, audio_message(data, alignment.in_milliseconds(since_ms) if has_any else None)
        )
