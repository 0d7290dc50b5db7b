"""When an utterance may stop and when it is cut, in frames from where it stands."""

from __future__ import annotations

import math

from sled.decoding.utterance import Utterance
from sled.model.config import Config
from sled.model.ids import SpeechIds


class Limits:
    """The limits of a model's configuration and of an utterance's options.

    Args:
        config: The model's configuration.
        ids: The ids that its units are. None: they are vectors.
    """

    def __init__(self, config: Config, ids: SpeechIds | None) -> None:
        # Plain numbers, as they are read often.
        self._positions = config.architecture.max_position_embeddings
        speaking = config.speaking
        # Where an id ends speech, tokens that mark the ends of texts do not count, as published.
        self._ends = None if ids is None or ids.end is None else config.num_text_ends
        self._low, self._high = speaking.min_frames_per_token, speaking.max_frames_per_token

    def positions(self, utterance: Utterance) -> int:
        """The number of positions that an utterance may fill."""
        return utterance.options.positions(self._positions)

    def frames_before_stop(self, utterance: Utterance) -> float:
        """Frames to write before the stop probability counts; infinite for never."""
        options = utterance.options
        if not (utterance.rows[0].has_read_text or options.stop_before_text_end):
            return math.inf
        least = max(options.min_frames, self._usual_frames(utterance)[0])
        return max(0.0, least - utterance.num_written)

    def frames_before_cut(self, utterance: Utterance) -> float:
        """Frames to write before the utterance is cut; 0 or less to cut it now."""
        options, written = utterance.options, utterance.num_written
        left = float(self.positions(utterance) - utterance.num_positions)
        if options.max_frames is not None:
            left = min(left, options.max_frames - written)
        row = utterance.rows[0]
        if row.has_read_text:
            left = min(left, self._usual_frames(utterance)[1] - written)
        elif left <= row.num_tokens_missing:  # the next chunk of text would exceed the positions
            left = 0.0
        return left

    def _usual_frames(self, utterance: Utterance) -> tuple[float, float]:
        """The fewest and the most frames that its text takes, by the training data's lengths."""
        tolerance = utterance.options.length_tolerance
        if tolerance is None or self._low is None or self._high is None:
            return 0.0, math.inf
        if self._ends is None:
            low, count = self._low, utterance.num_tokens
        else:
            # As published, where chunks of speech may end early there is no least length.
            low = self._low if utterance.rows[0].layout.is_offline else 0.0
            count = utterance.num_text_tokens(*self._ends)
        return count * low / tolerance, count * self._high * tolerance
