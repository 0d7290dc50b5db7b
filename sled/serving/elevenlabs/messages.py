"""What goes over ElevenLabs' WebSockets."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from sled.serving.elevenlabs.formats import DEFAULT
from sled.serving.encoding import MAX_SPEED, MIN_SPEED
from sled.serving.errors import ApiError, describe_problem

MAX_SEED = 2**32 - 1
MAX_TIMEOUT_S = 180.0
# Names of models that stand for the one that there is.
MODEL_PREFIX = "eleven_"


class VoiceSettings(BaseModel):
    """Settings of a voice; all others are accepted, without effect."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    speed: Annotated[float, Field(ge=MIN_SPEED, le=MAX_SPEED)] | None = None


class Query(BaseModel):
    """The query of an address; other fields are accepted, without effect.

    Attributes:
        model_id: The model; ElevenLabs' names stand for it.
        output_format: See `formats`.
        inactivity_timeout: Seconds without a message after which nothing more is waited for.
        sync_alignment: Whether every message with audio has an alignment.
        auto_mode: Whether a message has whole phrases, so that no word goes on in the next one.
        seed: Seed of the speech. None: a new one for each text.
    """

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    model_id: str | None = None
    output_format: str = DEFAULT
    inactivity_timeout: Annotated[float, Field(ge=0.1, allow_inf_nan=False)] = 20.0
    sync_alignment: bool = False
    auto_mode: bool = False
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None


class ClientMessage(BaseModel):
    """A message of a client; other fields are accepted, without effect."""

    model_config = ConfigDict(extra="ignore")

    text: str | None = None
    flush: bool | None = None
    voice_settings: VoiceSettings | None = None
    context_id: Annotated[str, Field(max_length=256)] | None = Field(
        None, validation_alias=AliasChoices("context_id", "contextId")
    )
    close_context: bool | None = None
    close_socket: bool | None = None
    key: str | None = Field(None, validation_alias=AliasChoices("xi-api-key", "xi_api_key"))
    authorization: str | None = None

    @property
    def given_key(self) -> str:
        """The API key; empty if there is none."""
        bearer = (self.authorization or "").removeprefix("Bearer ").removeprefix("bearer ")
        return self.key or bearer.strip()


def read_query(given: dict[str, str]) -> Query:
    """The query of an address.

    Raises:
        ApiError: `invalid_value`.
    """
    try:
        return Query.model_validate(given)
    except ValidationError as error:
        raise _invalid(error) from error


def read_message(message: dict[str, Any]) -> ClientMessage:
    """A message of a client.

    Raises:
        ApiError: `invalid_value`.
    """
    try:
        return ClientMessage.model_validate(message)
    except ValidationError as error:
        raise _invalid(error) from error


def _invalid(error: ValidationError) -> ApiError:
    message, param = describe_problem(error.errors()[0])
    return ApiError("invalid_value", message, param)


def audio_message(data: bytes, alignment: dict[str, Any] | None) -> dict[str, Any]:
    """A piece of audio.

    Args:
        data: Bytes of the format.
        alignment: When the characters are said that it ends. There is one text alone, so that of
            the text as it is said is the same.
    """
    return {
        "audio": base64.b64encode(data).decode(),
        "isFinal": None,
        "alignment": alignment,
        "normalizedAlignment": alignment,
    }


def final_message() -> dict[str, Any]:
    """The end of a text."""
    return {"audio": None, "isFinal": True, "alignment": None, "normalizedAlignment": None}


def error_message(error: ApiError, close_code: int) -> dict[str, Any]:
    """An error.

    Args:
        error: The error.
        close_code: The code with which the connection is or would be closed.
    """
    message: dict[str, Any] = {"message": error.message, "error": error.code, "code": close_code}
    if error.retry_after_s is not None:
        message["retry_after_ms"] = round(1000 * error.retry_after_s)
    return message
