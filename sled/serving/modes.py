"""Kinds of speech that some models know: by an instruction, in another language, conversion."""

from __future__ import annotations

from sled.serving.errors import ApiError
from sled.serving.openai.body import SpeechBody
from sled.serving.service import SpeechService


def adapt_to_model(service: SpeechService, body: SpeechBody) -> None:
    """Leave out of a request what its model cannot follow.

    Clients of OpenAI send `instructions` to any model, so they are ignored as unknown fields are.

    Args:
        service: Speaks.
        body: The request. Its instructions are removed, and named by `ignored`.

    Raises:
        ApiError: `mode_unsupported`, for `cross_lingual`, without which it would be other speech.
    """
    if service.tts.codec.prompt_conditions:
        return
    if body.cross_lingual:
        raise ApiError(
            "mode_unsupported",
            f"the model {service.name!r} always continues the recording of a voice: leave out "
            "cross_lingual",
            "cross_lingual",
        )
    body.ignore_instructions()


def check_conversion(service: SpeechService) -> None:
    """Check that a model can say a recording with another voice.

    Raises:
        ApiError: `mode_unsupported`.
    """
    if not service.tts.codec.prompt_conditions:
        raise ApiError(
            "mode_unsupported",
            f"the model {service.name!r} cannot put another voice on a recording: use a model of "
            "speech tokens",
        )
