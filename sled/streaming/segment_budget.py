"""How much speech fits a model: what it was trained on, and the positions that it has."""

from __future__ import annotations

import math

from sled.decoding import DecodingOptions
from sled.model.config import Config
from sled.model.layout import Layout
from sled.text.segments import SegmentLimits

# Of a model's positions, so many may hold the speech that a segment continues, and so many its own.
PAST_SHARE = SEGMENT_SHARE = 0.4
# Of the frames it was trained on at once, a segment may take so many, and a recording to be
# continued so many: what is left has room for a clause.
TRAINED_SEGMENT_SHARE, TRAINED_PROMPT_SHARE = 1 / 2, 2 / 3
# A word that is being written may take so many tokens.
WORD_TOKENS = 8
# Of models whose configuration does not say.
MAX_FRAMES_PER_TOKEN = 30.0


def max_prompt_frames(config: Config) -> int | None:
    """Frames of the longest recording that a model can continue. None: not known."""
    if config.speaking.trained_frames is None:
        return None
    return int(TRAINED_PROMPT_SHARE * config.speaking.trained_frames)


def check_prompt(config: Config, num_frames: int) -> None:
    """Make sure that a model can continue a recording.

    Raises:
        ValueError: If it is longer than what the model was trained on leaves room for.
    """
    longest, trained = max_prompt_frames(config), config.speaking.trained_frames
    if longest is not None and trained is not None and num_frames > longest:
        seconds = (num / config.architecture.frame_rate for num in (num_frames, trained, longest))
        raise ValueError(
            "the voice's recording is too long: it lasts {:.1f} s, and the model was trained on "
            "no more than {:.1f} s at once, new speech included; take one of at most {:.1f} s, "
            "and the words spoken in that".format(*seconds)
        )


class Room:
    """What a segment may hold beside the speech that it continues.

    Args:
        config: Of the model.
        options: How long an utterance may get.
        layout: In which it is spoken.
        prompt_frames: Of the voice to speak with; 0 without one.
        prompt_positions: Positions that it takes, text and frames.

    Raises:
        ValueError: If the voice's recording leaves none.
    """

    def __init__(
        self,
        config: Config,
        options: DecodingOptions,
        layout: Layout,
        prompt_frames: int = 0,
        prompt_positions: int = 0,
    ) -> None:
        check_prompt(config, prompt_frames)
        self._has_own_end = options.max_length is not None
        self._positions = options.positions(config.architecture.max_position_embeddings)
        speaking = config.speaking
        self._trained = math.inf if speaking.trained_frames is None else speaking.trained_frames
        self._prompt_frames, self._prompt_positions = prompt_frames, prompt_positions
        low, high = speaking.min_frames_per_token, speaking.max_frames_per_token
        self._most = MAX_FRAMES_PER_TOKEN if high is None else high  # frames per token
        # Half-way, as ratios go: single words are near the most, sentences nearer the fewest.
        self._usual = self._most if low is None else math.sqrt(low * self._most)
        if layout.text_chunk is not None and layout.speech_chunk is not None:
            # Text is read no faster than that, however fast it is said.
            slowest = layout.speech_chunk / layout.text_chunk
            self._most, self._usual = max(self._most, slowest), max(self._usual, slowest)
            tokens = prompt_positions - prompt_frames
            self._prompt_frames = max(prompt_frames, math.ceil(slowest * tokens))

    def holds(self, num_tokens: int) -> bool:
        """Whether a text can be said in one segment, which continues nothing but the voice.

        Who sets `max_length` wants speech to be cut there.
        """
        positions = self._prompt_positions + num_tokens * (1 + self._most)
        frames = self._prompt_frames + num_tokens * self._usual
        return (self._has_own_end or positions <= self._positions) and frames <= self._trained

    @property
    def past_frames(self) -> float:
        """Frames of earlier speech, the voice's included, that a segment may continue."""
        past = PAST_SHARE * self._positions
        return past if self._trained == math.inf else min(past, self._trained - self._own_frames)

    @property
    def _own_frames(self) -> float:
        """Frames that a segment usually has at most."""
        return min(TRAINED_SEGMENT_SHARE * self._trained, self._trained - self._prompt_frames)

    def segment_limits(self) -> SegmentLimits:
        """Sizes of segments, in tokens, that leave room for their speech and what they continue.

        Positions end all, however slowly a text is said. What was trained on is no such end, so
        there the usual pace counts, and the last word may take more.

        Raises:
            ValueError: If the voice's recording leaves no positions.
        """
        room = SEGMENT_SHARE * self._positions
        if self._prompt_positions:
            room = min(room, self._positions - self._prompt_positions)
        largest = int(room / (1 + self._most))
        if largest < 2 and self._prompt_positions:
            raise ValueError(
                f"the voice's recording is too long: with {self._prompt_positions} of "
                f"{self._positions} positions it leaves no room for speech; take a shorter one"
            )
        largest = max(2, largest)
        # Where it begins and ends is told by tokens of their own.
        limit = int(max(2, min(largest, self._own_frames / self._usual - 2)))
        word = min(WORD_TOKENS, limit // 2)
        return SegmentLimits(target=(limit + 1) // 2, limit=limit, word=word, cut=largest)
