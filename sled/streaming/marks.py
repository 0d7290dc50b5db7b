"""What a session tells about when its text is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

MarkKind = Literal["word", "character"]
MARK_KINDS: tuple[MarkKind, ...] = ("word", "character")


@dataclass(frozen=True)
class Mark:
    """A word (or character) of the text and when it is said.

    Attributes:
        text: The characters as they were fed.
        start_s: Where it begins in the session's audio, in seconds.
        end_s: Where it ends.
        start_char: Where it begins in all text that was fed, in characters.
        end_char: Where it ends.
    """

    text: str
    start_s: float
    end_s: float
    start_char: int
    end_char: int

    def as_dict(self, speed: float = 1.0) -> dict[str, Any]:
        """The mark as a JSON object, with times in milliseconds.

        Args:
            speed: By what factor the audio is heard faster.
        """
        return {
            "text": self.text,
            "start_ms": round(1000 * self.start_s / speed),
            "end_ms": round(1000 * self.end_s / speed),
            "start_char": self.start_char,
            "end_char": self.end_char,
        }
