"""The fields of a request for speech.

They are OpenAI's. Those of ours are optional: seed, temperature, cfg, sample_rate. Unknown fields
are accepted, since clients add some, and named in the header `x-sled-ignored`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from sled.serving.encoding import MAX_RATE, MAX_SPEED, MIN_RATE, MIN_SPEED, FormatName
from sled.serving.marks import MarkChoice
from sled.serving.voices.samples import decode_base64
from sled.serving.voices.uploads import MAX_CONSENT_CHARS, MAX_WORDS_CHARS, Reference

MAX_SEED = 2**31 - 1


class VoiceName(BaseModel):
    """A voice as an object."""

    id: str


class SpeechBody(BaseModel):
    """The body of a request for speech."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    input: str = Field(description="text to speak", json_schema_extra={"pattern": r"\S"})
    model: str | None = Field(None, description="the model; OpenAI's names stand for it")
    voice: str | VoiceName | None = Field(
        None, description="a voice; OpenAI's names stand for the model's own"
    )
    response_format: FormatName = Field("mp3", description="format of the audio")
    speed: Annotated[float, Field(ge=MIN_SPEED, le=MAX_SPEED)] = 1.0
    stream_format: Literal["audio", "sse"] = Field(
        "audio", description="sse: audio in events, base64"
    )
    stream: bool = Field(True, description="false: one answer of known length")
    instructions: Annotated[str, Field(max_length=4096)] | None = Field(
        None, description="how to speak, for models that follow instructions"
    )
    cross_lingual: bool = Field(
        False,
        description="the voice's recording is of another language than the text, so that only its "
        "sound is taken over, for models that can do it",
    )
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = Field(
        None, description="the same seed says the same text in the same way; unset: a new one"
    )
    temperature: Annotated[float, Field(ge=0, le=4)] | None = Field(
        None, description="scale of the noise; unset: as the model recommends"
    )
    cfg: Annotated[float, Field(ge=0, le=20)] | None = Field(
        None, description="guidance scale; unset: as the model recommends"
    )
    ref_audio: str | None = Field(
        None, description="recording of a voice to continue: base64 or a data URL"
    )
    ref_text: Annotated[str, Field(max_length=MAX_WORDS_CHARS)] | None = Field(
        None, description="the words of ref_audio"
    )
    consent: Annotated[str, Field(max_length=MAX_CONSENT_CHARS)] | None = Field(
        None, description="that the speaker of ref_audio agrees, or the id of a recorded consent"
    )
    timestamps: MarkChoice = Field(
        "none", description="with stream_format sse: also send when each word or character is said"
    )
    sample_rate: Annotated[int, Field(ge=MIN_RATE, le=MAX_RATE)] | None = Field(
        None, description="sample rate in Hz; unset: as the format prefers"
    )

    _ignored: list[str] = PrivateAttr(default_factory=list)

    def voice_name(self) -> str | None:
        """The voice, however it is written."""
        return self.voice.id if isinstance(self.voice, VoiceName) else self.voice

    def reference(self) -> Reference | None:
        """The recording to continue, if there is one.

        Raises:
            ApiError: `invalid_value` if it is no base64.
        """
        if self.ref_audio is None:
            return None
        data = decode_base64(self.ref_audio, "ref_audio")
        return Reference(data, self.ref_text, self.consent, "ref_audio")

    def instruction(self) -> str | None:
        """What the model reads in the place of the voice's recording. None: it reads that."""
        return (self.instructions or "").strip() or ("" if self.cross_lingual else None)

    def ignore_instructions(self) -> None:
        """Have no instructions, and name them among what is ignored, if there are any."""
        if (self.instructions or "").strip():
            self._ignored.append("instructions")
        self.instructions = None

    def ignored(self) -> list[str]:
        """Fields that are set and have no effect."""
        return [*self._ignored, *(self.model_extra or {})]
