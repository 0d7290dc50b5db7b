"""What goes over the WebSocket: settings, utterances and errors."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from sled.serving.encoding import FormatName
from sled.serving.errors import ApiError
from sled.serving.openai.body import SpeechBody
from sled.serving.service import Utterance

# After these the connection is closed.
FATAL = ("at_capacity", "draining")


class SocketConfig(SpeechBody):
    """The settings of the utterances of a connection, until the next ones."""

    input: str = ""
    response_format: FormatName = "pcm"
    stream_audio: bool = True
    max_lead_s: Annotated[float, Field(gt=0, le=3600)] | None = None

    def ignored(self) -> list[str]:
        """Fields that are set and have no effect."""
        return [name for name in super().ignored() if name != "type"]


@dataclass(eq=False)
class Line:
    """One utterance of a connection.

    Attributes:
        index: Its number.
        config: Its settings.
        text: Text that came before the utterance was open.
        complete: Whether its text is complete.
        cancelled: Whether the client has ended it.
        ended: Whether it is over, said or not; more text of it is dropped.
        utterance: The utterance, while it is open.
        text_came_s: When text came last, by `time.monotonic`.
        num_bytes: Bytes of audio sent.
    """

    index: int
    config: SocketConfig
    text: str = ""
    complete: bool = False
    cancelled: bool = False
    ended: bool = False
    utterance: Utterance | None = None
    text_came_s: float = field(default_factory=time.monotonic)
    num_bytes: int = 0

    @property
    def num_chars(self) -> int:
        """Characters of its text so far."""
        return len(self.text if self.utterance is None else self.utterance.text)

    def feed(self, text: str) -> None:
        """Take more text."""
        self.text_came_s = time.monotonic()
        if self.ended:
            return
        if self.utterance is None:
            self.text += text
        else:
            self.utterance.feed(text)

    def finish(self) -> None:
        """Note that the text is complete."""
        self.complete = True
        if self.utterance is not None and not self.ended:
            self.utterance.flush()

    def attach(self, utterance: Utterance) -> None:
        """Pass the text on, from now on at once."""
        self.utterance = utterance
        utterance.feed(self.text)
        if self.complete:
            utterance.flush()


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
    }
    if error.retry_after_s is not None:
        message["retry_after_ms"] = round(1000 * error.retry_after_s)
    return message
