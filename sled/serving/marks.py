"""Marks as the doors write them: in milliseconds of the audio that the client hears."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from sled.serving.errors import ApiError
from sled.serving.service import SpeechService
from sled.streaming.marks import Mark, MarkKind

MarkChoice = Literal["none", "word", "character"]


def check_marks(service: SpeechService, choice: MarkChoice, param: str) -> MarkKind | None:
    """The marks that a request asks for. None: none.

    Args:
        service: Speaks.
        choice: What the request says.
        param: The field that says it.

    Raises:
        ApiError: `marks_unsupported`: the model does not tell when its words are said.
    """
    if choice == "none":
        return None
    if not service.has_marks:
        raise ApiError(
            "marks_unsupported",
            f"the model {service.name!r} does not tell when its words are said: leave out {param}",
            param,
        )
    return choice


def write_marks(marks: Iterable[Mark], speed: float) -> list[dict[str, Any]]:
    """Marks as JSON.

    Args:
        marks: The marks, with the times of the session.
        speed: By what factor the client hears the audio faster.
    """
    return [mark.as_dict(speed) for mark in marks]


def write_timestamps(marks: Iterable[Mark], speed: float) -> list[dict[str, Any]]:
    """Marks of words in vLLM-Omni's form; arguments as for `write_marks`."""
    return [
        {"word": mark["text"], "start_ms": mark["start_ms"], "end_ms": mark["end_ms"]}
        for mark in write_marks(marks, speed)
    ]
