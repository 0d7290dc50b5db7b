"""ElevenLabs' API: speech over HTTP, and over WebSockets for text that is still being written."""

from __future__ import annotations

from fastapi import APIRouter

from sled.serving.elevenlabs import connection, speech, voices

router = APIRouter()
for _part in (speech, voices, connection):
    router.include_router(_part.router)
