"""How speech passes the tokens of its text: the hidden Markov model of the text trackers.

Tokens pass as a Poisson process and never backwards (the forward algorithm, Rabiner 1989, eq.
19-20). What a tracker sees of a frame is multiplied in between `expect` and `settle`.

Shapes: B texts, W tokens in the window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sled.model.ids import NONE

# Tokens that are considered, and how many of them lie before the most likely one.
WINDOW, BEHIND = 16, 4
# Tokens that may pass within a frame.
MAX_PASSED = 4
# For a model that does not say.
USUAL_FRAMES_PER_TOKEN = 2.0


@dataclass(frozen=True, eq=False)
class TextPosition:
    """A belief about which token of its text an utterance is saying.

    Attributes:
        first: The token at which the window begins.
        log_belief: float64 [W] log-likelihoods of the tokens in the window, up to a constant.
        lasted: Frames for which the most likely token has been the same.
    """

    first: int
    log_belief: np.ndarray
    lasted: int = 0

    @property
    def best(self) -> int:
        """The most likely token."""
        return self.first + int(self.log_belief.argmax())

    @classmethod
    def at(cls, token: int, window: int) -> TextPosition:
        """The certain belief that this token is being said."""
        log_belief = np.full(window, -np.inf)
        log_belief[0] = 0.0
        return cls(token, log_belief)


class SpokenText(Protocol):
    """A text that is being said.

    Attributes:
        prompt_tokens: Tokens of a prompt at its beginning.
        text_position: Which token is being said. None: nothing has been said.
    """

    prompt_tokens: int
    text_position: TextPosition | None

    def tokens_read(self, start: int, stop: int) -> list[int]:
        """The tokens `start:stop` of the text, as far as they have been read."""
        ...

    def tokens_left(self, token: int) -> float:
        """Tokens from this one to the end of the text; infinite while the text may grow."""
        ...


class TokenPassage:
    """The transitions between the tokens of a text.

    Args:
        frames_per_token: The fewest and the most frames that a token takes. None: not known.
    """

    def __init__(self, frames_per_token: tuple[float, float] | None) -> None:
        frames = USUAL_FRAMES_PER_TOKEN
        if frames_per_token is not None:
            frames = math.sqrt(frames_per_token[0] * frames_per_token[1])
        passed = np.arange(MAX_PASSED + 1)
        factorials = np.array([math.factorial(count) for count in passed])
        self._log_passed = passed * -math.log(frames) - 1 / frames - np.log(factorials)

    def positions(
        self, texts: Sequence[SpokenText]
    ) -> tuple[list[TextPosition], np.ndarray, np.ndarray]:
        """Where texts were at their last frame.

        Returns:
            The positions; int64 [B] where the windows begin; and int64 [B, W] the tokens in the
            windows, `NONE` where none has been read.
        """
        positions = [
            one.text_position or TextPosition.at(max(1, one.prompt_tokens), WINDOW) for one in texts
        ]
        first = np.array([position.first for position in positions])
        ids = np.full((len(positions), WINDOW), NONE)
        for row, (one, position) in enumerate(zip(texts, positions, strict=True)):
            read = one.tokens_read(position.first, position.first + WINDOW)
            ids[row, : len(read)] = read
        return positions, first, ids

    def expect(self, positions: Sequence[TextPosition]) -> np.ndarray:
        """Beliefs [B, W] one frame later, before anything of it has been seen."""
        log_belief = np.stack([position.log_belief for position in positions])
        moved = np.full((len(self._log_passed), *log_belief.shape), -np.inf)
        for count, log_passed in enumerate(self._log_passed):
            moved[count, :, count:] = log_belief[:, : WINDOW - count] + log_passed
        return np.asarray(np.logaddexp.reduce(moved))

    def likeliest(self, cost: np.ndarray) -> np.ndarray:
        """The path of complete speech through its text (Viterbi 1967).

        Args:
            cost: [T, L] negative log-likelihood of each of L tokens, `<s>` and `</s>` included, at
                each of T frames.

        Returns:
            int64 [T] the number of each frame's token. They never go back, begin with 1, and end
            with `</s>` or the token before it.
        """
        num_tokens = cost.shape[1]
        log_passed = self._log_passed[:num_tokens]
        score = np.full(num_tokens, -np.inf)
        score[1] = -cost[0, 1]
        passed = np.zeros(cost.shape, dtype=np.int64)
        for frame, costs in enumerate(cost[1:], 1):
            ways = np.full((len(log_passed), num_tokens), -np.inf)
            for count, log_share in enumerate(log_passed):
                ways[count, count:] = score[: num_tokens - count] + log_share
            passed[frame] = ways.argmax(0)
            score = ways.max(0) - costs
        path = np.zeros(len(cost), dtype=np.int64)
        token = num_tokens - 2 + int(score[-1] > score[-2])
        for frame in range(len(cost) - 1, -1, -1):
            path[frame] = token
            token -= passed[frame, token]
        return path

    def settle(self, one: SpokenText, position: TextPosition, log_belief: np.ndarray) -> int:
        """Move a text to its most likely token.

        Args:
            one: The text.
            position: Where it was.
            log_belief: [W] the belief after the frame has been seen.

        Returns:
            The token, counted from the beginning of the text.
        """
        best = int(log_belief.argmax())
        shift = max(0, best - BEHIND)
        moved = np.full(WINDOW, -np.inf)
        moved[: WINDOW - shift] = log_belief[shift:] - log_belief[best]
        token = position.first + best
        lasted = position.lasted + 1 if token == position.best else 1
        one.text_position = TextPosition(position.first + shift, moved, lasted)
        return token
