"""Messages of the WebSocket `/v1/audio/speech/stream`, as a client reads and writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PATH = "/v1/audio/speech/stream"
# Codes of errors after which it helps to try again.
BUSY = ("at_capacity", "rate_limited", "too_many_sessions", "starting", "draining")
# Codes of errors of the server itself.
BROKEN = ("engine_failed", "internal_error")
# The model does not tell when its words are said.
NO_MARKS = "marks_unsupported"
FINISH = json.dumps({"type": "input.done"})


@dataclass(frozen=True)
class Word:
    """A word of the text, and when it is said.

    Attributes:
        start_s: Its start in the audio of the utterance, in seconds.
        end_s: Its end.
        start_char: Its place in the text of the utterance.
        end_char: The place behind it.
    """

    start_s: float
    end_s: float
    start_char: int
    end_char: int


@dataclass(frozen=True)
class Created:
    """The settings have been accepted."""


@dataclass(frozen=True)
class Words:
    """Words whose audio has been sent."""

    words: tuple[Word, ...]


@dataclass(frozen=True)
class Done:
    """The end of an utterance.

    Attributes:
        cancelled: Whether the client has ended it.
        failed: Whether it ended with an error, which came before.
        heard_text: After a cancellation, the text that had been said. None: not known.
    """

    cancelled: bool
    failed: bool
    heard_text: str | None


@dataclass(frozen=True)
class Failure:
    """An error.

    Attributes:
        code: As in the server's answers over HTTP.
        message: What is wrong, and what to do.
        fatal: Whether the server closes the connection.
    """

    code: str
    message: str
    fatal: bool

    @property
    def busy(self) -> bool:
        """Whether the same would succeed later."""
        return self.code in BUSY

    @property
    def broken(self) -> bool:
        """Whether the server is to blame, not the request."""
        return self.code in BROKEN


Event = bytes | Created | Words | Done | Failure
"""What the server says: audio (16-bit samples), or one of the classes above."""


def socket_url(url: str) -> str:
    """The address of the socket of a server.

    Args:
        url: Address of the server, such as http://127.0.0.1:8000.

    Raises:
        ValueError: If it is no such address.
    """
    scheme, separator, rest = url.rstrip("/").partition("://")
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if not separator or scheme not in schemes:
        raise ValueError(f"url={url!r}: give the address of the server, as http://127.0.0.1:8000")
    return f"{schemes[scheme]}://{rest}{PATH}"


def key_headers(key: str | None) -> dict[str, str]:
    """The headers that show an API key, if there is one."""
    return {"authorization": f"Bearer {key}"} if key else {}


def config_message(sample_rate: int, settings: Mapping[str, Any], marks: bool = True) -> str:
    """The message that comes before the first utterance, or between two of them.

    Args:
        sample_rate: Of the audio, in Hz.
        settings: Fields of a request, such as `voice` and `seed`. Those that are None are unset.
        marks: Whether to ask when words are said. The server answers with the error `NO_MARKS` if
            its model cannot tell.
    """
    fields = {name: value for name, value in settings.items() if value is not None}
    chosen = "word" if marks else "none"
    fixed = {"response_format": "pcm", "sample_rate": sample_rate, "marks": chosen}
    return json.dumps({"type": "session.config", **fields, **fixed})


def text_message(text: str) -> str:
    """A piece of the text."""
    return json.dumps({"type": "input.text", "text": text})


def cancel_message(played_s: float) -> str:
    """The message that ends an utterance at once, of which so much has been played."""
    return json.dumps({"type": "response.cancel", "played_ms": round(1000 * played_s)})


def read_message(message: str | bytes) -> Event | None:
    """What a message says; None if it says nothing that a framework needs."""
    if isinstance(message, bytes):
        return message
    fields = json.loads(message)
    kind = fields["type"]
    if kind == "session.created":
        return Created()
    if kind == "audio.marks":
        return Words(
            tuple(
                Word(
                    one["start_ms"] / 1000, one["end_ms"] / 1000, one["start_char"], one["end_char"]
                )
                for one in fields["marks"]
            )
        )
    if kind == "audio.done":
        return Done(fields["cancelled"], fields["error"], fields.get("heard_text"))
    if kind == "error":
        return Failure(fields["code"], fields["message"], fields["fatal"])
    return None


class SpokenText:
    """The text of an utterance, as it is said. Its parts, joined, are the text that was fed."""

    def __init__(self) -> None:
        self.text, self._place = "", 0
        self._begins: list[tuple[float, int]] = []  # of the words taken; the place behind each

    def feed(self, text: str) -> None:
        """Note a piece of the text."""
        self.text += text

    def take(self, word: Word) -> str:
        """The text from where the last part ended to the end of a word.

        Punctuation directly behind a word belongs to it.
        """
        end = max(word.end_char, self._place)
        while end < len(self.text) and not self.text[end].isspace():
            if self.text[end].isalnum():  # the next word follows without a space
                end = max(word.end_char, self._place)
                break
            end += 1
        part, self._place = self.text[self._place : end], end
        self._begins.append((word.start_s, end))
        return part

    def heard(self, played_s: float) -> str | None:
        """The text to the last word taken that had begun when so much was played.

        Args:
            played_s: How much of the audio was played, in seconds.

        Returns:
            The text. None: not known, since no word was taken.
        """
        if not self._begins:
            return None
        return self.text[: max((end for start, end in self._begins if start < played_s), default=0)]

    def take_rest(self) -> str:
        """The text behind the last word that was taken."""
        part, self._place = self.text[self._place :], len(self.text)
        return part
