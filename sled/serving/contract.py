"""What the OpenAPI document says about answers: audio, and errors in the form of each door."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from sled.serving.encoding import FORMATS


class ErrorFields(BaseModel):
    """What went wrong, in OpenAI's form."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(BaseModel):
    """An error in OpenAI's form."""

    error: ErrorFields


class DetailFields(BaseModel):
    """What went wrong, in ElevenLabs' form."""

    status: str
    message: str
    param: str | None


class DetailBody(BaseModel):
    """An error in ElevenLabs' form."""

    detail: DetailFields


def _errors(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    return {
        "4XX": {"model": model, "description": "The request cannot be followed"},
        "5XX": {"model": model, "description": "The server cannot follow it now"},
    }


ERRORS = _errors(ErrorBody)
DETAILS = _errors(DetailBody)
_TYPES = sorted({one.media_type.partition(";")[0] for one in FORMATS.values()})
AUDIO: dict[int | str, dict[str, Any]] = {
    200: {"description": "Audio", "content": {name: {} for name in _TYPES}}
}
AUDIO_OR_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Audio, or events with audio",
        "content": {name: {} for name in (*_TYPES, "text/event-stream")},
    }
}
