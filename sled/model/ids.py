"""Ids as units: which there are, and which may be drawn."""

from __future__ import annotations

from dataclasses import dataclass

NONE = -1
"""Stands for no token."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Which ids may be drawn.

    Attributes:
        top_p: Ids are taken, the most likely first, until their probabilities sum to this. 1: all.
        top_k: At most this many ids are taken. 0: any number.
        window: Number of an utterance's newest ids in which repetitions are counted. 0: none.
        repetitions: An id that the window contains this often is drawn again, from all other ids.
    """

    top_p: float = 1.0
    top_k: int = 0
    window: int = 0
    repetitions: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p}: give a share above 0, and at most 1")
        for name, least in (("top_k", 0), ("window", 0), ("repetitions", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {least}")


@dataclass(frozen=True)
class SpeechIds:
    """The ids that a model has scores for.

    Attributes:
        speech: The number of ids that are speech: 0 to `speech` - 1.
        scored: The number of ids with scores. Those from `speech` on are drawn to end something:
            `speech` itself ends speech.
        fill: The id that ends a chunk of speech, so that the next chunk of text is read. None: all
            chunks are full.
        known: The number of ids of speech that the codec has, if these are fewer: the others are
            never drawn. None: all.
    """

    speech: int
    scored: int
    fill: int | None = None
    known: int | None = None

    @property
    def end(self) -> int | None:
        """The id that ends speech; None if something else does."""
        return self.speech if self.scored > self.speech else None

    @property
    def unknown(self) -> slice:
        """The ids of speech that the codec does not have."""
        return slice(self.speech if self.known is None else self.known, self.speech)
