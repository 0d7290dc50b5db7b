"""What callers say, how fast they write it, and when they arrive."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Texts of three lengths: about one, four and ten seconds of speech.
ENGLISH = (
    "Good morning, and welcome.",
    "The train to the coast leaves in ten minutes from the second platform.",
    "When the rain had stopped, we walked down to the harbour, where the boats were coming in, and "
    "bought some fish for the evening from an old man who seemed to know everybody.",
)
DIGITS = (
    "four two seven",
    "nine zero one six three eight two five",
    "one five nine two six zero four eight three seven one five nine two six zero four eight",
)
# A writer's pieces are about as long as the tokens of a language model.
PIECE = re.compile(r"\s*\S{1,4}")


@dataclass(frozen=True)
class Writer:
    """How fast text comes.

    Attributes:
        name: For reports.
        pieces_per_s: Pieces of about four characters per second. Infinity: the text is complete
            when the caller arrives, and goes over HTTP; otherwise it goes over the WebSocket.
        share: Share of the callers.
    """

    name: str
    pieces_per_s: float
    share: float


# A typist writes no longer texts, since their calls would take most of a measurement.
MAX_TYPED_CHARS = 100
TYPED_PIECES_PER_S = 4.0

# A fast typist, a language model, and whole texts.
WRITERS = (
    Writer("typist", 2.0, 0.2),
    Writer("language model", 20.0, 0.4),
    Writer("whole text", math.inf, 0.4),
)
WHOLE_TEXT = (Writer("whole text", math.inf, 1.0),)


@dataclass(frozen=True)
class Script:
    """What one kind of callers does.

    Attributes:
        text: What is said.
        writer: How fast it is written.
        seed: Seed of the speech, if the server takes one.
    """

    text: str
    writer: Writer
    seed: int

    def pieces(self) -> list[tuple[float, str]]:
        """When each piece is written, in seconds after the caller's arrival, and the piece."""
        pieces = split(self.text) if math.isfinite(self.writer.pieces_per_s) else [self.text]
        return [(number / self.writer.pieces_per_s, one) for number, one in enumerate(pieces)]


def split(text: str) -> list[str]:
    """A text in pieces of at most four characters of a word; joined, they are the text again."""
    pieces = PIECE.findall(text)
    rest = text[sum(map(len, pieces)) :]
    return [*pieces[:-1], pieces[-1] + rest] if pieces else [text]


def make_scripts(texts: Sequence[str], writers: Sequence[Writer]) -> list[Script]:
    """Each text by each writer; typists leave long ones out."""
    return [
        Script(text, writer, seed)
        for writer in writers
        for seed, text in enumerate(texts, start=1)
        if len(text) <= MAX_TYPED_CHARS or writer.pieces_per_s > TYPED_PIECES_PER_S
    ]


def shares(scripts: Sequence[Script]) -> np.ndarray:
    """The share of each script among the callers [N]; they add up to 1."""
    number_of = Counter(script.writer for script in scripts)
    weights = np.array([script.writer.share / number_of[script.writer] for script in scripts])
    return np.asarray(weights / weights.sum())


def arrivals(
    scripts: Sequence[Script], callers_per_s: float, seconds: float, rng: np.random.Generator
) -> list[tuple[float, Script]]:
    """Callers of a Poisson process: when each arrives, in seconds, and what he does.

    Args:
        scripts: What callers do, by their shares.
        callers_per_s: Mean number of callers per second.
        seconds: How long callers arrive.
        rng: Source of chance.
    """
    count = rng.poisson(callers_per_s * seconds)
    # Given their number, the arrivals of a Poisson process are independent and uniform.
    times = np.sort(rng.uniform(0, seconds, count)).tolist()
    chosen = rng.choice(len(scripts), count, p=shares(scripts)).tolist()
    return [(due_s, scripts[which]) for due_s, which in zip(times, chosen, strict=True)]
