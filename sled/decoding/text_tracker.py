"""Tracks which token of its text an utterance is saying, and keeps speech in the order of the text.

Units with a token channel tell which token is being said, and the model reads that in its own
past. After one wrong token it continues from there: it repeats words or skips some. But the tokens
that are possible at a frame follow from those before. So the position in the text is tracked as in
a hidden Markov model (`TokenPassage`), in which a frame's channel is that of its token plus normal
noise. The channel that was drawn is replaced by that of the most likely token.

A Poisson process may stay at one token for any time, and so may a model, since a pause most likely
continues. When a token has lasted longer than any token does in read speech, the tracker moves on
to the next one. `</s>` is the silence at the end; when it has lasted long enough, speech ends.

Shapes: B utterances, W tokens in the window, V tokens of the vocabulary, E width of the channel, P
phases, D width of a unit. Only the last E values of a unit are changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sled.decoding.token_passage import WINDOW, TokenPassage
from sled.decoding.utterance import Utterance
from sled.model.cache import RowCache
from sled.model.config import Config
from sled.model.interface import NONE

# No token lasts longer, and `</s>` not even as long. Of 119 pauses between sentences in the corpus
# of the bundled English model, the longest lasted 1.07 s; its longest end lasted 0.53 s.
LONGEST_S, LONGEST_END_S = 1.1, 0.6
# Variance of a channel's values, as a share of the squared norm of the channel.
NOISE_SHARE = 1 / 18
# The largest negative log-likelihood of a token: a meaningless channel must not outweigh the past.
MAX_COST = 25.0
# Tokens at the end of a text, `</s>` included, at which speech may stop.
LAST_TOKENS = 2


class Channel(Protocol):
    """The vectors of a token channel; see `sled.codec.TokenChannel`."""

    @property
    def tokens(self) -> Tensor:
        """The channel's values [V, E - P] for each token, all with the same norm."""
        ...

    @property
    def phases(self) -> Tensor:
        """The channel's values [P, P] for a token's number in its text, modulo P."""
        ...


class TextTracker:
    """Tracks the position of utterances in their texts; see the module.

    Args:
        channel: The units' token channel.
        config: The model's configuration.
    """

    def __init__(self, channel: Channel, config: Config) -> None:
        self._tokens = channel.tokens.float().cpu().numpy()
        self._phases = channel.phases.float().cpu().numpy()
        self._width = self._tokens.shape[1] + len(self._phases)
        self._square = float((self._tokens[0] ** 2).sum() + (self._phases[0] ** 2).sum())
        self._passage = TokenPassage(config)
        self._longest = LONGEST_S * config.architecture.frame_rate
        self._longest_end = LONGEST_END_S * config.architecture.frame_rate

    def watch(self, cache: RowCache) -> None:
        """The units tell everything, so nothing of the cache is looked at."""

    def follow(
        self,
        utterances: Sequence[Utterance],
        units: Tensor,
        stopped: np.ndarray,
        may_stop: np.ndarray,
    ) -> tuple[Tensor, np.ndarray]:
        """Update the utterances' text positions and correct their new units.

        Args:
            utterances: B utterances; those with `options.track_text` are tracked.
            units: [B, D] the units that they drew.
            stopped: Boolean [B], True where the model would stop.
            may_stop: Boolean [B], True where the utterance's length allows that.

        Returns:
            The units, with the most likely token in their channels; and boolean [B], True where
            an utterance stops. A tracked one stops only at the end of its text, and there without
            the model once it has been there for long.
        """
        tracked = [i for i, one in enumerate(utterances) if one.options.track_text]
        if not tracked:
            return units, stopped
        ours = [utterances[i] for i in tracked]
        positions, first, ids = self._passage.positions(ours)
        numbers = (first[:, None] + np.arange(WINDOW)) % len(self._phases)
        channel = units[tracked, -self._width :].float().cpu().numpy()
        belief = self._passage.expect(positions)
        belief -= self._cost(channel, ids, numbers)
        belief[ids == NONE] = -np.inf
        for row, position in enumerate(positions):
            if position.lasted < self._longest:
                continue
            following = position.best + 1 - position.first
            if np.isfinite(belief[row, following:]).any():  # else the text is late, or at its end
                belief[row, :following] = -np.inf
        best, rows = belief.argmax(1), np.arange(len(ours))
        known = np.isfinite(belief[rows, best])  # else no token has been read that could be said
        vectors = (self._tokens[ids[rows, best]], self._phases[numbers[rows, best]])
        channel = np.where(known[:, None], np.concatenate(vectors, 1), channel)
        stopped = stopped.copy()
        for row in np.nonzero(known)[0].tolist():
            one = ours[row]
            token = self._passage.settle(one, positions[row], belief[row])
            assert one.text_position is not None
            lasted = one.text_position.lasted
            left, i = one.tokens_left(token), tracked[row]
            is_over = left <= 1 and lasted > self._longest_end and may_stop[i]
            stopped[i] = left <= LAST_TOKENS and (stopped[i] or is_over)
        units = units.clone()
        units[tracked, -self._width :] = torch.from_numpy(channel).to(units)
        return units, stopped

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
