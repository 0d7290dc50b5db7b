"""Voices: a list for everybody, and uploads of one's own."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, Response, UploadFile
from fastapi.responses import JSONResponse

from sled.serving.contract import AUDIO
from sled.serving.errors import LANGUAGE_PATTERN, NAME_PATTERN, ApiError
from sled.serving.openai.body import SpeechBody
from sled.serving.openai.speech import respond
from sled.serving.requests import RequestStack, server_of, unless_left
from sled.serving.voices.library import VoiceEntry
from sled.serving.voices.samples import MAX_SAMPLE_BYTES
from sled.serving.voices.uploads import MAX_CONSENT_CHARS, MAX_WORDS_CHARS, Reference

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/audio", tags=["voices"])


@router.get("/voices")
async def list_voices(request: Request, legacy: bool = False) -> JSONResponse:
    """The voices; with `legacy`, only their names."""
    uploads = server_of(request).service.uploads
    library = uploads.library
    if legacy:
        return JSONResponse({"voices": list(library)})
    voices = [describe(entry) for entry in library.values()]
    uploaded = [describe(entry) for entry in library.uploaded]
    return JSONResponse(
        {
            "object": "list",
            "data": voices,
            "voices": voices,
            "uploaded_voices": uploaded,
            "consent": uploads.policy,
        }
    )


@router.post("/voices", status_code=201)
async def upload_voice(
    request: Request,
    name: Annotated[str, Form(pattern=NAME_PATTERN, description="what requests call the voice")],
    audio_sample: Annotated[UploadFile, File(description="recording of a few seconds")],
    consent: Annotated[
        str | None,
        Form(
            max_length=MAX_CONSENT_CHARS,
            description="that the speaker agrees, or the id of a recorded consent",
        ),
    ] = None,
    ref_text: Annotated[
        str | None, Form(max_length=MAX_WORDS_CHARS, description="the words of the recording")
    ] = None,
    speaker_description: Annotated[str, Form(max_length=1000)] = "",
    language: Annotated[str, Form(pattern=LANGUAGE_PATTERN, description="BCP 47")] = "en",
) -> dict[str, Any]:
    """Make a voice of a recording."""
    service = server_of(request).service
    data = await read_upload(audio_sample, "audio_sample")
    reference = Reference(data, ref_text, consent, "audio_sample")
    entry = await unless_left(
        request, service.uploads.add_voice(name, reference, language, speaker_description)
    )
    described = describe(entry)
    return {**described, "success": True, "voice": described}


@router.get("/voices/{voice_id}")
async def show_voice(request: Request, voice_id: str) -> dict[str, Any]:
    """One voice."""
    return describe(find(request, voice_id))


@router.delete("/voices/{voice_id}", status_code=204)
async def delete_voice(request: Request, voice_id: str) -> None:
    """Delete an uploaded voice; sessions that speak with it go on."""
    server_of(request).service.uploads.remove_voice(find(request, voice_id))


@router.get("/voices/{voice_id}/preview", response_class=Response, responses=AUDIO)
async def preview_voice(request: Request, voice_id: str, stack: RequestStack) -> Response:
    """A sentence in this voice, as MP3."""
    entry = find(request, voice_id)
    server = server_of(request)
    body = SpeechBody.model_validate({"input": server.greeting, "voice": entry.name, "seed": 0})
    return await respond(request, body, stack)


def find(request: Request, voice_id: str) -> VoiceEntry:
    """The voice of an id or a name.

    Raises:
        ApiError: `not_found`.
    """
    library = server_of(request).service.voices
    if voice_id not in library:
        raise ApiError("not_found", f"there is no voice {voice_id!r}: see the list of them")
    return library[voice_id]


def describe(entry: VoiceEntry) -> dict[str, Any]:
    """A voice, as clients read it."""
    described: dict[str, Any] = {
        "object": "audio.voice",
        "id": entry.name,
        "name": entry.name,
        "language": "en",
        "kind": "builtin",
        "created_at": 0,
    }
    if entry.record is not None:
        described |= {
            "id": entry.id,
            "language": entry.record.language,
            "kind": "uploaded",
            "created_at": entry.record.created_at,
            "speaker_description": entry.record.description,
        }
    return described


async def read_upload(file: UploadFile, param: str) -> bytes:
    """The content of an uploaded file.

    Raises:
        ApiError: `body_too_large`.
    """
    data = await file.read(MAX_SAMPLE_BYTES + 1)
    if len(data) > MAX_SAMPLE_BYTES:
        raise ApiError(
            "body_too_large", f"{param} is larger than {MAX_SAMPLE_BYTES >> 20} MiB", param
        )
    return data
