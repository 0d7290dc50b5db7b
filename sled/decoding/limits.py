"""When an utterance may stop and when it must, counted in frames from where it stands."""

from __future__ import annotations

import math

from sled.decoding.utterance import Utterance
from sled.model.config import Config


class Limits:
    """What a model's configuration and an utterance's options allow.

    Args:
        config: Of the model.
    """

    def __init__(self, config: Config) -> None:
        # Kept as plain numbers: they are asked for in every step.
        self._positions = config.architecture.max_position_embeddings
        speaking = config.speaking
        self._low, self._high = speaking.min_frames_per_token, speaking.max_frames_per_token

    def positions(self, utterance: Utterance) -> int:
        """Positions that it may fill."""
        return utterance.options.positions(self._positions)

    def frames_before_stop(self, utterance: Utterance) -> float:
        """Frames that it must write before its stop probability counts; infinite for never."""
        options = utterance.options
        if not (utterance.rows[0].has_read_text or options.stop_before_text_end):
            return math.inf
        least = max(options.min_frames, self._usual_frames(utterance)[0])
        return max(0.0, least - utterance.num_written)

    def frames_before_cut(self, utterance: Utterance) -> float:
        """Frames after which it is cut, as it stands; 0 or less if now."""
        options, written = utterance.options, utterance.num_written
        left = float(self.positions(utterance) - utterance.num_positions)
        if options.max_frames is not None:
            left = min(left, options.max_frames - written)
        if utterance.rows[0].has_read_text:
            left = min(left, self._usual_frames(utterance)[1] - written)
        return left

    def _usual_frames(self, utterance: Utterance) -> tuple[float, float]:
        """Fewest and most frames that its text takes, by the lengths of the training data."""
        tolerance = utterance.options.length_tolerance
        if tolerance is None or self._low is None or self._high is None:
            return 0.0, math.inf
        return (
            utterance.num_tokens * self._low / tolerance,
            utterance.num_tokens * self._high * tolerance,
        )
