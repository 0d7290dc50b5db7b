"""Tracks which token utterances say, and keeps speech in the order of the text.

`sled.model.channel_tracker` says how.

Shapes: B utterances, V tokens of the vocabulary, E width of the channel, P phases, D width of a
unit. Only the last E values of a unit are changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sled.decoding.utterance import Utterance
from sled.model.cache import RowCache
from sled.model.channel_tracker import ChannelTracker
from sled.model.config import Config


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
        self._tracker = ChannelTracker(
            channel.tokens.float().cpu().numpy(),
            channel.phases.float().cpu().numpy(),
            config.speaking.frames_per_token,
            config.architecture.frame_rate,
        )
        self.width = self._tracker.width

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
        channel = units[tracked, -self.width :].float().cpu().numpy()
        channel, ended = self._tracker.follow(
            [utterances[i] for i in tracked], channel, stopped[tracked], may_stop[tracked]
        )
        stopped = stopped.copy()
        stopped[tracked] = ended
        units = units.clone()
        units[tracked, -self.width :] = torch.from_numpy(channel).to(units)
        return units, stopped

    def likeliest(self, channels: np.ndarray, token_ids: Sequence[int]) -> np.ndarray:
        """See `ChannelTracker.likeliest`."""
        return self._tracker.likeliest(channels, token_ids)
