"""Tracks which token of its text an utterance is saying, and keeps speech in the order of the text.

Units with a token channel tell which token is being said, and the model reads that in its own
past. After one wrong token it continues from there: it repeats words or skips some. But the tokens
that are possible at a frame follow from those before. So the position in the text is tracked as in
a hidden Markov model (`TokenPassage`), in which a frame's channel is that of its token plus normal
noise. The channel that was drawn is replaced by that of the most likely token.

A Poisson process may stay at one token for any time, and so may a model, since a pause most likely
continues. When a token has lasted longer than any token does in read speech, the tracker moves on
to the next one. `</s>` is the silence at the end; when it has lasted long enough, speech ends.

Shapes: B texts, W tokens in the window, V tokens of the vocabulary, E width of the channel, P
phases, T units, L tokens of a text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sled.model.ids import NONE
from sled.model.token_passage import WINDOW, SpokenText, TokenPassage

# No token lasts longer, and `</s>` not even as long. Of 119 pauses between sentences in the corpus
# of the bundled English model, the longest lasted 1.07 s; its longest end lasted 0.53 s.
LONGEST_S, LONGEST_END_S = 1.1, 0.6
# Variance of a channel's values, as a share of the squared norm of the channel.
NOISE_SHARE = 1 / 18
# The largest negative log-likelihood of a token: a meaningless channel must not outweigh the past.
MAX_COST = 25.0
# Tokens at the end of a text, `</s>` included, at which speech may stop.
LAST_TOKENS = 2


class ChannelTracker:
    """Tracks the positions of texts by the channels of units; see the module.

    Args:
        tokens: [V, E - P] the channel's values for each token, all with the same norm.
        phases: [P, P] those for a token's number in its text, modulo P.
        frames_per_token: The fewest and the most frames that a token takes. None: not known.
        frame_rate: Frames per second.

    Attributes:
        width: E.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        phases: np.ndarray,
        frames_per_token: tuple[float, float] | None,
        frame_rate: float,
    ) -> None:
        self._tokens, self._phases = tokens, phases
        self.width = tokens.shape[1] + len(phases)
        self._square = float((tokens[0] ** 2).sum() + (phases[0] ** 2).sum())
        self._passage = TokenPassage(frames_per_token)
        self._longest = LONGEST_S * frame_rate
        self._longest_end = LONGEST_END_S * frame_rate

    def follow(
        self,
        texts: Sequence[SpokenText],
        channel: np.ndarray,
        stopped: np.ndarray,
        may_stop: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Update the texts' positions and correct the channels of their new units.

        Args:
            texts: B texts.
            channel: [B, E] the channels that were drawn.
            stopped: Boolean [B], True where the model would stop.
            may_stop: Boolean [B], True where the length of the speech allows that.

        Returns:
            The channels, those of the most likely tokens; and boolean [B], True where a text stops:
            only at its end, and there without the model once it has been there for long.
        """
        positions, first, ids = self._passage.positions(texts)
        numbers = (first[:, None] + np.arange(WINDOW)) % len(self._phases)
        belief = self._passage.expect(positions)
        belief -= self._cost(channel, ids, numbers)
        belief[ids == NONE] = -np.inf
        for row, position in enumerate(positions):
            if position.lasted < self._longest:
                continue
            following = position.best + 1 - position.first
            if np.isfinite(belief[row, following:]).any():  # else the text is late, or at its end
                belief[row, :following] = -np.inf
        best, rows = belief.argmax(1), np.arange(len(texts))
        known = np.isfinite(belief[rows, best])  # else no token has been read that could be said
        vectors = (self._tokens[ids[rows, best]], self._phases[numbers[rows, best]])
        channel = np.where(known[:, None], np.concatenate(vectors, 1), channel)
        stopped = stopped.copy()
        for row in np.nonzero(known)[0].tolist():
            one = texts[row]
            token = self._passage.settle(one, positions[row], belief[row])
            assert one.text_position is not None
            lasted, left = one.text_position.lasted, one.tokens_left(token)
            is_over = left <= 1 and lasted > self._longest_end and may_stop[row]
            stopped[row] = left <= LAST_TOKENS and (stopped[row] or is_over)
        return channel, stopped

    def likeliest(self, channels: np.ndarray, token_ids: Sequence[int]) -> np.ndarray:
        """Find the tokens that complete speech says.

        Args:
            channels: [T, E] the channels of its units.
            token_ids: Its text, with `<s>` and `</s>`.

        Returns:
            int64 [T], see `TokenPassage.likeliest`.
        """
        ids, shape = np.array(token_ids), (len(channels), len(token_ids))
        numbers = np.arange(len(ids)) % len(self._phases)
        cost = self._cost(channels, np.broadcast_to(ids, shape), np.broadcast_to(numbers, shape))
        return self._passage.likeliest(cost)

    def _cost(self, channel: np.ndarray, ids: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Negative log-likelihoods [B, W] of the tokens in the window.

        Args:
            channel: [B, E] the channels that were drawn.
            ids: [B, W] the tokens.
            numbers: [B, W] their numbers in the text, modulo P.
        """
        width = self._tokens.shape[1]
        match = np.take_along_axis(channel[:, :width] @ self._tokens.T, ids, 1)
        match += np.take_along_axis(channel[:, width:] @ self._phases.T, numbers, 1)
        distance = (channel**2).sum(1, keepdims=True) + self._square - 2 * match
        cost: np.ndarray = np.minimum(distance / (2 * NOISE_SHARE * self._square), MAX_COST)
        return cost
