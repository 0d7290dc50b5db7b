"""Recorded consents, as in OpenAI's API. Each key sees its own."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from pydantic import BaseModel, Field

from sled.serving.caller import present_caller
from sled.serving.errors import LANGUAGE_PATTERN, NAME_PATTERN
from sled.serving.openai.voices import read_upload
from sled.serving.requests import server_of, unless_left
from sled.serving.voices.consents import Consent

router = APIRouter(prefix="/v1/audio/voice_consents", tags=["voices"])


class NewName(BaseModel):
    """A new label."""

    name: str = Field(pattern=NAME_PATTERN)


@router.post("")
async def record_consent(
    request: Request,
    name: Annotated[str, Form(pattern=NAME_PATTERN, description="a label")],
    recording: Annotated[UploadFile, File(description="the speaker says that he agrees")],
    language: Annotated[str, Form(pattern=LANGUAGE_PATTERN, description="BCP 47")],
) -> dict[str, Any]:
    """Keep a recording in which a speaker agrees to be cloned."""
    uploads = server_of(request).service.uploads
    data = await read_upload(recording, "recording")
    return describe(await unless_left(request, uploads.add_consent(name, language, data)))


@router.get("")
async def list_consents(request: Request) -> dict[str, Any]:
    """The consents that were recorded with this key."""
    consents = server_of(request).service.uploads.consents.of(present_caller().key.name)
    data = [describe(one) for one in consents]
    return {
        "object": "list",
        "data": data,
        "first_id": consents[0].id if consents else None,
        "last_id": consents[-1].id if consents else None,
        "has_more": False,
    }


@router.get("/{consent_id}")
async def show_consent(request: Request, consent_id: str) -> dict[str, Any]:
    """One consent."""
    return describe(_find(request, consent_id))


@router.post("/{consent_id}")
async def rename_consent(request: Request, consent_id: str, body: NewName) -> dict[str, Any]:
    """Give a consent another label."""
    consents = server_of(request).service.uploads.consents
    return describe(consents.rename(_find(request, consent_id), body.name))


@router.delete("/{consent_id}")
async def delete_consent(request: Request, consent_id: str) -> dict[str, Any]:
    """Delete a consent, and the voices that were made with it."""
    consent = _find(request, consent_id)
    server_of(request).service.uploads.remove_consent(consent)
    return {"object": "audio.voice_consent", "id": consent.id, "deleted": True}


def _find(request: Request, consent_id: str) -> Consent:
    consents = server_of(request).service.uploads.consents
    return consents.find(consent_id, present_caller().key.name)


def describe(consent: Consent) -> dict[str, Any]:
    """A consent, as clients read it."""
    return {
        "object": "audio.voice_consent",
        "id": consent.id,
        "name": consent.name,
        "language": consent.language,
        "created_at": consent.created_at,
    }
