"""What goes over the WebSocket: settings, utterances and errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from sled.serving.caller import present_caller
from sled.serving.encoding import FormatName
from sled.serving.errors import ApiError
from sled.serving.marks import MarkChoice
from sled.serving.openai.body import SpeechBody
from sled.serving.text_feed import TextFeed
from sled.serving.utterance import Utterance

# After these the connection is closed.
FATAL = ("at_capacity", "draining")
MAX_PLAYED_MS = 1e9


class SocketConfig(SpeechBody):
    """The settings of the utterances of a connection, until the next ones."""

    input: str = ""
    response_format: FormatName = "pcm"
    stream_audio: bool = True
    max_lead_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    marks: MarkChoice = "none"
    word_timestamps: bool = False

    def ignored(self) -> list[str]:
        """Fields that are set and have no effect."""
        names = [name for name in super().ignored() if name != "type"]
        return names if self.timestamps == "none" else ["timestamps", *names]


@dataclass(eq=False)
class QueuedUtterance:
    """An utterance that a client has asked for, with what was sent of it.

    Attributes:
        index: Its number.
        config: Its settings.
        text: Its text.
        speed: By what factor the client hears it faster.
        cancelled: Whether the client has ended it.
        utterance: The utterance, as soon as it is open.
        num_bytes: Bytes of audio sent.
        num_chunks: Messages `audio.chunk` sent.
        played_ms: How much of it the client has played when it ended it. None: it did not say.
    """

    index: int
    config: SocketConfig
    text: TextFeed
    speed: float = 1.0
    cancelled: bool = False
    utterance: Utterance | None = None
    num_bytes: int = 0
    num_chunks: int = 0
    played_ms: float | None = None

    @property
    def heard_text(self) -> str | None:
        """The text that the client has heard. None: not known."""
        utterance = self.utterance
        if self.played_ms is None or utterance is None or not utterance.has_marks:
            return None
        return utterance.heard_text(self.played_ms / 1000 * self.speed)


def read_played_ms(message: Mapping[str, Any]) -> float | None:
    """How much of an utterance a client has played, from its message `response.cancel`.

    Raises:
        ApiError: `invalid_value`.
    """
    played_ms = message.get("played_ms")
    if played_ms is None:
        return None
    is_number = isinstance(played_ms, int | float) and not isinstance(played_ms, bool)
    if not is_number or not 0 <= played_ms <= MAX_PLAYED_MS:
        raise ApiError("invalid_value", "played_ms must be a number from 0 on", "played_ms")
    return float(played_ms)


def error_message(error: ApiError, partial_audio: bool) -> dict[str, Any]:
    """An error as a message.

    Args:
        error: The error.
        partial_audio: Whether audio of the utterance has been sent.
    """
    message: dict[str, Any] = {
        "type": "error",
        "message": error.message,
        "code": error.code,
        "param": error.param,
        "fatal": error.code in FATAL,
        "partial_audio": partial_audio,
        "request_id": present_caller().request_id,
    }
    if error.retry_after_s is not None:
        message["retry_after_ms"] = round(1000 * error.retry_after_s)
    return message
