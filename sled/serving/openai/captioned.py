"""Speech with the times of its words, as in the API of Kokoro-FastAPI: lines of JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import Field

from sled.serving.openai.body import SpeechBody
from sled.serving.openai.speech import Encoded
from sled.serving.requests import RequestStack, server_of, unless_left

router = APIRouter(tags=["speech"])

LINES = "application/x-ndjson"


class CaptionedBody(SpeechBody):
    """The body of a request for speech with times."""

    return_timestamps: bool = Field(True, description="false: only audio")


@router.post("/dev/captioned_speech", responses={200: {"content": {LINES: {}}}})
async def speak_captioned(request: Request, body: CaptionedBody, stack: RequestStack) -> Response:
    """Speak a text, and tell when each word is said. Without `stream`, there is one line.

    The times are null if the model does not know them.
    """
    speech = Encoded(server_of(request), body, stack)
    first = await unless_left(request, speech.begin())

    def line(audio: bytes) -> dict[str, Any]:
        times = _take_times(speech) if body.return_timestamps else None
        return {
            "audio": base64.b64encode(audio).decode(),
            "audio_format": speech.media_type,
            "timestamps": times,
        }

    if not body.stream:
        whole = await unless_left(request, speech.whole(first))
        return JSONResponse(line(whole), headers=speech.headers())

    async def lines() -> AsyncGenerator[str, None]:
        async for audio in speech.stream(first):
            yield json.dumps(line(audio)) + "\n"
        if (last := line(b""))["timestamps"]:
            yield json.dumps(last) + "\n"

    return StreamingResponse(lines(), media_type=LINES, headers=speech.headers())


def _take_times(speech: Encoded) -> list[dict[str, Any]] | None:
    marks = speech.take_marks("word")
    if marks is None:
        return None
    return [
        {"word": mark.text, "start_time": mark.start_s, "end_time": mark.end_s} for mark in marks
    ]
