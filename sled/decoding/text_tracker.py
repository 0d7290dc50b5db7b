"""Keeping the place: speech says its text in order, each token once.

Latents with a token channel tell which token is being said, and the model hears that of its own
past. Once it has told a wrong one, it goes on from there: it says words again, or leaves some out.
What can be said at a frame follows from what has been said, though. So the place in the text is
followed as in a hidden Markov model (the forward algorithm, Rabiner 1989, eq. 19-20): tokens pass
as a Poisson process, never backwards, and a frame's channel is that of its token with normal noise.
The most likely token is then told in the place of what was drawn.

A Poisson process may stay where it is for as long as it likes, and so may a model: a pause is what
is likeliest after a pause. So when a token has lasted longer than any does in read speech, pauses
between sentences among them, the next one is told, and speech goes on from there. `</s>` is the
silence at the end, and when that has lasted long enough, speech ends.

Shapes: U utterances, W places in a window of a text, V tokens, E channel width, P phases, D latent
width, all of which but the last E are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from sled.decoding.interface import NONE
from sled.model.config import Config

if TYPE_CHECKING:
    from sled.decoding.utterance import Utterance

# Places that are thought possible, and how many of them stay behind the most likely one.
WINDOW, BEHIND = 16, 4
# Tokens that may pass within a frame.
MAX_PASSED = 4
# If the model's configuration does not tell.
USUAL_FRAMES_PER_TOKEN = 2.0
# No token lasts longer, and `</s>` does not last so long. Of 119 pauses between sentences in the
# corpus of the English voice the longest was 1.07 s, and of all its ends 0.53 s.
LONGEST_S, LONGEST_END_S = 1.1, 0.6
# Variance of a channel's values, as a share of what a channel holds in all (its squared norm).
NOISE_SHARE = 1 / 18
# What tells nothing shall not count for more than this (as a log-likelihood).
MAX_DOUBT = 25.0
# Tokens at the end of a text, `</s>` among them, in which speech may stop.
LAST_TOKENS = 2


@dataclass(frozen=True, eq=False)
class Place:
    """What is known of where an utterance is in its text.

    Attributes:
        first: The token at which the window begins.
        log_belief: float64 [W] log-likelihoods of it and those after it, up to a constant.
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
    def at(cls, token: int) -> Place:
        """Known for sure."""
        log_belief = np.full(WINDOW, -np.inf)
        log_belief[0] = 0.0
        return cls(token, log_belief)


class Channel(Protocol):
    """How frames tell tokens: `sled.codec.TokenChannel`."""

    @property
    def tokens(self) -> Tensor:
        """[V, E - P] what the channel holds for each token, all of the same norm."""
        ...

    @property
    def phases(self) -> Tensor:
        """[P, P] what it holds for each number of a token in its text modulo P, likewise."""
        ...


class PlaceKeeper:
    """See above.

    Args:
        channel: Of the frames.
        config: Of the model.
    """

    def __init__(self, channel: Channel, config: Config) -> None:
        self._tokens = channel.tokens.float().cpu().numpy()
        self._phases = channel.phases.float().cpu().numpy()
        self._width = self._tokens.shape[1] + len(self._phases)
        self._square = float((self._tokens[0] ** 2).sum() + (self._phases[0] ** 2).sum())
        low, high = config.speaking.min_frames_per_token, config.speaking.max_frames_per_token
        frames = math.sqrt(low * high) if low and high else USUAL_FRAMES_PER_TOKEN
        self._longest = LONGEST_S * config.architecture.frame_rate
        self._longest_end = LONGEST_END_S * config.architecture.frame_rate
        passed = np.arange(MAX_PASSED + 1)
        factorials = np.array([math.factorial(count) for count in passed])
        self._log_passed = passed * -math.log(frames) - 1 / frames - np.log(factorials)

    def keep(
        self,
        utterances: Sequence[Utterance],
        latents: Tensor,
        stopped: np.ndarray,
        may_stop: np.ndarray,
    ) -> tuple[Tensor, np.ndarray]:
        """See to what some utterances tell, and remember where they are.

        Args:
            utterances: U of them.
            latents: [U, D] the frame that each has drawn.
            stopped: U flags: whether the model would stop at it.
            may_stop: U flags: whether its length allows that.

        Returns:
            The frames with what is most likely in their channels, and U flags: whether it stops,
            which it does at the end of its text only, and without the model if it has been there
            for long.
        """
        kept = [at for at, one in enumerate(utterances) if one.options.keep_place]
        if not kept:
            return latents, stopped
        ours = [utterances[at] for at in kept]
        places = [one.place or Place.at(max(1, one.prompt_tokens)) for one in ours]
        first = np.array([place.first for place in places])
        ids = np.full((len(ours), WINDOW), NONE)
        for row, (one, place) in enumerate(zip(ours, places, strict=True)):
            read = one.tokens_read(place.first, place.first + WINDOW)
            ids[row, : len(read)] = read
        numbers = (first[:, None] + np.arange(WINDOW)) % len(self._phases)
        told = latents[kept, -self._width :].float().cpu().numpy()
        belief = self._pass(np.stack([place.log_belief for place in places]))
        belief -= self._doubt(told, ids, numbers)
        belief[ids == NONE] = -np.inf
        for row, place in enumerate(places):
            if place.lasted < self._longest:
                continue
            following = place.best + 1 - place.first
            if np.isfinite(belief[row, following:]).any():  # else the text is late, or at its end
                belief[row, :following] = -np.inf
        best, rows = belief.argmax(1), np.arange(len(ours))
        known = np.isfinite(belief[rows, best])  # else nothing has been read that could be said
        vectors = (self._tokens[ids[rows, best]], self._phases[numbers[rows, best]])
        told = np.where(known[:, None], np.concatenate(vectors, 1), told)
        stopped = stopped.copy()
        for row in np.nonzero(known)[0].tolist():
            shift = max(0, int(best[row]) - BEHIND)
            moved = np.full(WINDOW, -np.inf)
            moved[: WINDOW - shift] = belief[row, shift:] - belief[row, best[row]]
            one, token = ours[row], int(first[row] + best[row])
            lasted = places[row].lasted + 1 if token == places[row].best else 1
            one.place = Place(int(first[row]) + shift, moved, lasted)
            left, at = one.tokens_left(token), kept[row]
            is_over = left <= 1 and lasted > self._longest_end and may_stop[at]
            stopped[at] = left <= LAST_TOKENS and (stopped[at] or is_over)
        latents = latents.clone()
        latents[kept, -self._width :] = torch.from_numpy(told).to(latents)
        return latents, stopped

    def _pass(self, log_belief: np.ndarray) -> np.ndarray:
        """[U, W] after as many tokens have passed as may pass within a frame."""
        moved = np.full((len(self._log_passed), *log_belief.shape), -np.inf)
        for count, log_passed in enumerate(self._log_passed):
            moved[count, :, count:] = log_belief[:, : WINDOW - count] + log_passed
        return np.asarray(np.logaddexp.reduce(moved))

    def _doubt(self, told: np.ndarray, ids: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """[U, W] negative log-likelihoods of tokens with their numbers, both [U, W].

        Args:
            told: [U, E] what was told.
            ids, numbers: See above.
        """
        width = self._tokens.shape[1]
        match = np.take_along_axis(told[:, :width] @ self._tokens.T, ids, 1)
        match += np.take_along_axis(told[:, width:] @ self._phases.T, numbers, 1)
        distance = (told**2).sum(1, keepdims=True) + self._square - 2 * match
        return np.minimum(distance / (2 * NOISE_SHARE * self._square), MAX_DOUBT)
