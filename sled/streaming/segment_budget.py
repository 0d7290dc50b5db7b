"""How much text and speech a segment can hold: the length of training data, and positions."""

from __future__ import annotations

import math
import sys

from sled.decoding import DecodingOptions
from sled.model.config import Config
from sled.model.layout import Layout
from sled.text.segments import LIST_SHARE, SegmentLimits

# Shares of a model's positions: for the speech that a segment continues, and for its own.
PAST_SHARE = SEGMENT_SHARE = 0.4
# Shares of the longest training samples: for a segment, and for a recording to be continued. The
# rest has room for a clause.
TRAINED_SEGMENT_SHARE, TRAINED_PROMPT_SHARE = 1 / 2, 2 / 3
# Tokens of a word that is still being written, at most.
WORD_TOKENS = 8
# Pauses after sentences and clauses. The frames per token of training data contain those of usual
# text, so this is what a list of short items needs beside them.
STOP_S, COMMA_S = 0.5, 0.25
# Lists are said in parts of about this length: in longer ones, small models lose their place. It
# takes some items to tell that a text is a list; from then on, each item is a part.
ITEMS_S, ITEM_S = 1.5, 0.5
# For a model whose configuration does not give it.
MAX_FRAMES_PER_TOKEN = 30.0


def max_prompt_frames(config: Config) -> int | None:
    """Return the most frames of a recording that a model can continue. None: unknown."""
    if config.speaking.trained_frames is None:
        return None
    longest = TRAINED_PROMPT_SHARE * config.speaking.trained_frames
    if config.most_prompt_s is not None:
        longest = min(longest, config.most_prompt_s * config.architecture.frame_rate)
    return int(longest)


class PromptTooLongError(ValueError):
    """A recording is too long to be continued."""


def check_prompt(config: Config, num_frames: int) -> None:
    """Check that a model can continue a recording.

    Args:
        config: The model's configuration.
        num_frames: The length of the recording.

    Raises:
        PromptTooLongError: If it is too long, compared with the training data, to be continued.
    """
    longest, trained = max_prompt_frames(config), config.speaking.trained_frames
    if longest is not None and trained is not None and num_frames > longest:
        seconds = (num / config.architecture.frame_rate for num in (num_frames, trained, longest))
        raise PromptTooLongError(
            "the voice's recording is too long: it lasts {:.1f} s, and the model was trained on "
            "no more than {:.1f} s at once, new speech included; take one of at most {:.1f} s, "
            "and the words spoken in that".format(*seconds)
        )


class SegmentBudget:
    """How much a segment can hold beside the speech that it continues.

    Args:
        config: The model's configuration.
        options: Limit the length of an utterance.
        layout: How text and speech interleave.
        prompt_frames: Frames of the voice's recording; 0 without a voice.
        prompt_positions: Positions that the recording takes, text and frames.

    Raises:
        ValueError: If the voice's recording is too long.
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
        # The geometric mean: single words are near the most, sentences nearer the fewest.
        self._usual = self._most if low is None else math.sqrt(low * self._most)
        if layout.text_chunk is not None and layout.speech_chunk is not None:
            # The layout reads text no faster than that.
            slowest = layout.speech_chunk / layout.text_chunk
            self._most, self._usual = max(self._most, slowest), max(self._usual, slowest)
            tokens = prompt_positions - prompt_frames
            self._prompt_frames = max(prompt_frames, math.ceil(slowest * tokens))
        rate = config.architecture.frame_rate
        # At most one word for half a second, whatever the pace of the model.
        stop = min(WORD_TOKENS, round(rate * STOP_S / self._usual))
        self._stop, self._comma = stop, round(stop * COMMA_S / STOP_S)
        items, self._item = (max(1, round(rate * s / self._usual)) for s in (ITEMS_S, ITEM_S))
        self._most_tokens = config.most_segment_tokens or sys.maxsize
        # Large models keep their place in a list.
        is_small = speaking.trained_frames is not None and config.most_segment_tokens is None
        self._items = items if is_small else None
        self._num_ends = sum(config.num_text_ends)

    def holds(self, num_tokens: int, text: str) -> bool:
        """Whether a text can be said in one segment that continues only the voice.

        With `max_length` set, speech is to be cut there, so positions do not count.

        Args:
            num_tokens: Its tokens, with those at its ends.
            text: The text, normalised. With many marks, it is a list, which is said better in
                parts.
        """
        pauses = SegmentLimits(1, 1, stop=self._stop, comma=self._comma).pauses(text)
        if pauses > LIST_SHARE * (num_tokens + pauses):  # such texts are rare in training data
            return False
        if num_tokens - self._num_ends > self._most_tokens:
            return False
        positions = self._prompt_positions + num_tokens * (1 + self._most)
        frames = self._prompt_frames + num_tokens * self._usual
        return (self._has_own_end or positions <= self._positions) and frames <= self._trained

    @property
    def past_frames(self) -> float:
        """The most frames of earlier speech, the voice's included, that a segment continues."""
        past = PAST_SHARE * self._positions
        return past if self._trained == math.inf else min(past, self._trained - self._own_frames)

    @property
    def longest_past(self) -> float:
        """The most frames of earlier speech that leave a segment its share of the positions."""
        return (1 - SEGMENT_SHARE) * self._positions

    @property
    def _own_frames(self) -> float:
        """The most frames that a segment usually has."""
        return min(TRAINED_SEGMENT_SHARE * self._trained, self._trained - self._prompt_frames)

    def segment_limits(self) -> SegmentLimits:
        """Return segment limits in tokens, such that speech and its history fit as well.

        The number of positions is a hard limit, so it is divided by the slowest pace. The length of
        the training data is a soft one: there the usual pace counts, and the last word may exceed
        it.

        Raises:
            ValueError: If the voice's recording leaves no positions.
        """
        free = SEGMENT_SHARE * self._positions
        if self._prompt_positions:
            free = min(free, self._positions - self._prompt_positions)
        largest = int(free / (1 + self._most))
        if largest < 2 and self._prompt_positions:
            raise ValueError(
                "the voice's recording is too long: it fills "
                f"{self._prompt_positions} of {self._positions} positions; take a shorter one"
            )
        largest = min(max(2, largest), self._most_tokens)
        # Two tokens are <s> and </s>.
        limit = int(max(2, min(largest, self._own_frames / self._usual - 2)))
        word = min(WORD_TOKENS, limit // 2)
        return SegmentLimits(
            target=(limit + 1) // 2,
            limit=limit,
            word=word,
            cut=largest,
            stop=self._stop,
            comma=self._comma,
            items=self._items,
            item=self._item,
        )
