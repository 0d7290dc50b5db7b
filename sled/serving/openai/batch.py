"""Several texts in one request, as in the API of vLLM-Omni."""

from __future__ import annotations

import asyncio
import base64
from contextlib import AsyncExitStack
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sled.serving.caller import present_caller
from sled.serving.errors import ApiError, describe_problem
from sled.serving.openai.body import SpeechBody
from sled.serving.openai.speech import Encoded
from sled.serving.requests import server_of, unless_left
from sled.serving.server import Server

router = APIRouter(prefix="/v1", tags=["speech"])

MAX_ITEMS = 32
# Items that are spoken at a time, if so many callers fit.
MAX_AT_A_TIME = 4


class BatchItem(BaseModel):
    """A text, and fields that differ from those of the whole request."""

    model_config = ConfigDict(extra="allow")

    input: str = Field(description="text to speak")


class BatchBody(BaseModel):
    """Texts, and the fields of a request for speech that hold for all of them."""

    model_config = ConfigDict(extra="allow")

    items: list[BatchItem] = Field(min_length=1, max_length=MAX_ITEMS)

    def bodies(self) -> list[SpeechBody]:
        """A request for each text.

        Raises:
            ApiError: `invalid_value` if a field is wrong.
        """
        shared, bodies = self.model_extra or {}, []
        for at, item in enumerate(self.items):
            fields = {"response_format": "wav"} | shared | item.model_dump() | {"stream": False}
            try:
                bodies.append(SpeechBody.model_validate(fields))
            except ValidationError as error:
                message, param = describe_problem(error.errors()[0])
                raise ApiError("invalid_value", f"items.{at}: {message}", param) from error
        return bodies


@router.post("/audio/speech/batch")
async def speak_batch(request: Request, body: BatchBody) -> dict[str, Any]:
    """Speak several texts. Each one succeeds or fails by itself."""
    server = server_of(request)
    bodies = body.bodies()
    at_a_time = asyncio.Semaphore(_at_a_time(server))

    async def speak(at: int, one: SpeechBody) -> dict[str, Any]:
        async with at_a_time:
            return {"index": at, **await _speak(server, one)}

    async def speak_all() -> list[dict[str, Any]]:
        return await asyncio.gather(*(speak(at, one) for at, one in enumerate(bodies)))

    results = await unless_left(request, speak_all())
    succeeded = sum(one["status"] == "success" for one in results)
    return {
        "id": present_caller().request_id,
        "results": results,
        "total": len(results),
        "succeeded": succeeded,
        "failed": len(results) - succeeded,
    }


def _at_a_time(server: Server) -> int:
    """How many items are spoken at a time, so that none of them has to be refused."""
    allowed = present_caller().key.max_sessions
    fitting = server.service.admission.capacity() - server.active
    return max(1, min(MAX_AT_A_TIME, fitting, allowed or MAX_AT_A_TIME))


async def _speak(server: Server, body: SpeechBody) -> dict[str, Any]:
    try:
        async with AsyncExitStack() as stack:
            speech = Encoded(server, body, stack)
            audio = await speech.whole(await speech.begin())
    except ApiError as error:
        return {"status": "error", "error": error.message, "code": error.code}
    encoded = base64.b64encode(audio).decode()
    return {"status": "success", "audio_data": encoded, "media_type": speech.media_type}
