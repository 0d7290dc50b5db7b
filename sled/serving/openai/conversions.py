"""Voice conversion: a recording is said with another voice, without a text."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, File, Form, Request, Response, UploadFile

from sled.serving.contract import AUDIO
from sled.serving.encoding import MAX_RATE, MIN_RATE, AudioEncoder, FormatName
from sled.serving.errors import ApiError
from sled.serving.modes import check_conversion
from sled.serving.openai.speech import DOOR
from sled.serving.openai.voices import read_upload
from sled.serving.requests import server_of, unless_left
from sled.serving.service import SpeechService
from sled.serving.voices.uploads import MAX_CONSENT_CHARS, Reference
from sled.streaming.voice import Voice

router = APIRouter(prefix="/v1/audio", tags=["speech"])


@router.post("/voice_conversions", response_class=Response, responses=AUDIO)
async def convert_voice(
    request: Request,
    audio_sample: Annotated[UploadFile, File(description="recording of what is said")],
    voice: Annotated[str | None, Form(description="the voice, by name")] = None,
    ref_audio: Annotated[
        UploadFile | None, File(description="recording of the voice, in the place of a name")
    ] = None,
    consent: Annotated[
        str | None,
        Form(
            max_length=MAX_CONSENT_CHARS,
            description="that the speaker of ref_audio agrees, or the id of a recorded consent",
        ),
    ] = None,
    response_format: Annotated[FormatName, Form(description="format of the audio")] = "mp3",
    sample_rate: Annotated[
        int | None,
        Form(ge=MIN_RATE, le=MAX_RATE, description="in Hz; unset: as the format prefers"),
    ] = None,
) -> Response:
    """Say a recording with another voice, without a text, for models that can do it."""
    server = server_of(request)
    with server.counting_refusals(DOOR):
        service = server.service
        check_conversion(service)
        try:
            encoder = AudioEncoder(response_format, service.sample_rate, sample_rate)
        except ValueError as error:
            raise ApiError("format_unsupported", str(error), "sample_rate") from error
        recording = await read_upload(audio_sample, "audio_sample")
        other: Voice | Reference
        if ref_audio is not None and voice is None:
            data = await read_upload(ref_audio, "ref_audio")
            other = Reference(data, None, consent, "ref_audio")
        elif ref_audio is None:
            other = await _load(service, voice)
        else:
            raise ApiError("invalid_value", "voice and ref_audio: give one of them", "voice")
        work = service.uploads.convert(recording, "audio_sample", other, server.slot())
        audio = await unless_left(request, work)
    data = await asyncio.to_thread(encoder.encode_whole, audio)
    server.count_encoding(encoder)
    return Response(data, media_type=encoder.media_type, headers={"x-sled-synthetic": "1"})


async def _load(service: SpeechService, name: str | None) -> Voice:
    """The voice of a name, which must not be the model's own: that has no recording.

    Raises:
        ApiError: `voice_not_found`, or `invalid_value`.
    """
    try:
        voice = await service.voices.load(service.find_voice(name))
    except ValueError as error:
        raise ApiError("invalid_value", str(error), "voice") from error
    if voice is None:
        message = "name a voice that was recorded, in voice, or send a recording as ref_audio"
        raise ApiError("invalid_value", message, "voice")
    return voice
