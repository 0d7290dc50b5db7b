"""Tracks which token of its text an utterance is saying, by an attention head that was taught it.

In training with guided attention, the first head of a layer learns to attend to the token of the
frame that is drawn (`sled.model.guided_attention`). Its attention is what the tracker sees of a
frame. Speech is left as it is: the positions are for marks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from sled.decoding.text_tracker import Channel, TextTracker
from sled.decoding.utterance import Utterance
from sled.model.cache import KVCache, RowCache
from sled.model.config import Config
from sled.model.interface import NONE, FrameModel
from sled.model.token_passage import TokenPassage


class AttentionTracker:
    """Tracks the position of the utterances of one decoder in their texts; see the module.

    Args:
        config: Of a model with a guided layer, in a form that shows its attention.
    """

    def __init__(self, config: Config) -> None:
        self._layer = config.speaking.alignment_layer
        self._passage = TokenPassage(config.speaking.frames_per_token)

    def watch(self, cache: RowCache) -> None:
        """Look at the attention of a cache from now on."""
        assert isinstance(cache, KVCache)
        cache.watch = self._layer
        self._cache = cache

    def follow(
        self,
        utterances: Sequence[Utterance],
        units: Tensor,
        stopped: np.ndarray,
        may_stop: np.ndarray,
    ) -> tuple[Tensor, np.ndarray]:
        """Update the text positions of utterances that track; as `TextTracker.follow`.

        Returns:
            The units, and which utterances stop, as they were.
        """
        ours = [one for one in utterances if one.options.track_text]
        if not ours:
            return units, stopped
        positions, first, ids = self._passage.positions(ours)
        belief = self._passage.expect(positions)
        belief[ids == NONE] = -np.inf
        for number, one in enumerate(ours):
            count = int((ids[number] != NONE).sum())
            if not np.isfinite(belief[number]).any():  # no token has been read that could be said
                continue
            row, begin = one.rows[0], int(first[number])
            token_positions = [row.position_of(begin + token) for token in range(count)]
            logits = self._cache.attention(row.index, token_positions)
            belief[number, :count] += logits.log_softmax(0).numpy()
            self._passage.settle(one, positions[number], belief[number])
        return units, stopped


Tracker = TextTracker | AttentionTracker


def make_tracker(channel: Channel | None, model: FrameModel) -> Tracker | None:
    """The tracker for a model, and the token channel of its units; None if neither tells enough."""
    if channel is not None:
        return TextTracker(channel, model.config)
    if model.config.speaking.alignment_layer is not None and model.shows_attention:
        return AttentionTracker(model.config)
    return None
