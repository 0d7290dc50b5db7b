"""Lists of voices, as ElevenLabs' clients ask for them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request

from sled.serving.requests import server_of
from sled.serving.voices.library import VoiceEntry

router = APIRouter(tags=["ElevenLabs"])


@router.get("/v1/voices")
async def list_voices(request: Request) -> dict[str, Any]:
    """The voices."""
    return {"voices": _voices(request)}


@router.get("/v2/voices")
async def search_voices(request: Request) -> dict[str, Any]:
    """The voices, on one page."""
    voices = _voices(request)
    return {
        "voices": voices,
        "has_more": False,
        "total_count": len(voices),
        "next_page_token": None,
    }


@router.get("/v1/voices/{voice_id}")
async def show_voice(request: Request, voice_id: str) -> dict[str, Any]:
    """One voice."""
    return _describe(request, server_of(request).service.find_voice(voice_id))


def _voices(request: Request) -> list[dict[str, Any]]:
    return [_describe(request, entry) for entry in server_of(request).service.voices.values()]


def _describe(request: Request, entry: VoiceEntry) -> dict[str, Any]:
    record = entry.record
    return {
        "voice_id": entry.name,
        "name": entry.name,
        "category": "premade" if record is None else "cloned",
        "labels": {"language": "en" if record is None else record.language},
        "description": None if record is None else record.description,
        "preview_url": f"{request.base_url}v1/audio/voices/{quote(entry.name, safe='')}/preview",
    }
