"""The first stage of a session: pieces of text to normalised segments.

    TextStage -> SegmentRunner -> AudioStage

Its methods run on the engine's text thread. It sends text events to the segment runner, and does
not run further ahead of it than a few segments: normalising a whole book at once would take time
from the model.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

from sled.normalization import Normalizer, SpokenWord, open_normalizer, text_of
from sled.text.segments import Boundary, SegmentLimits, SegmentSplitter
from sled.text.tokenizer import TextTokenizer

# Characters that are processed before other sessions get their turn.
SLICE = 500
# Complete segments that the runner may have waiting before this stage stops processing text.
MAX_SEGMENTS_AHEAD = 2


@dataclass(frozen=True)
class TextEvent:
    """More text of the newest segment.

    Attributes:
        text: Normalised text.
        at_s: When the text that it is made of was fed, by `time.perf_counter`.
        ends_segment: Whether the segment is complete with it.
        ends_text: Whether the whole text is complete with it.
        words: The words of the text; their spans count from the start of the segment.
    """

    text: str
    at_s: float
    ends_segment: bool = False
    ends_text: bool = False
    words: tuple[SpokenWord, ...] = ()


@dataclass(frozen=True)
class FedText:
    """A piece of text as it was fed."""

    text: str
    at_s: float


@dataclass(frozen=True, eq=False)
class TextState:
    """A `TextStage` as a value.

    Attributes:
        fed: Text that has not been processed.
        ended_at_s: When the text was complete. None: it is not.
        sent_end: Whether the runner knows that it is complete.
        splitter: Finds segments.
        normalizer: Normalises the newest segment.
        num_ends: Segments that have been completed.
    """

    fed: tuple[FedText, ...]
    ended_at_s: float | None
    sent_end: bool
    splitter: SegmentSplitter
    normalizer: Normalizer
    num_ends: int


class TextStage:
    """Splits text into segments and normalises it.

    Args:
        tokenizer: Tokenizer of the model. It counts the tokens of words and normalises text.
        limits: Sizes of segments in tokens.
        send: Called with each event, in order.
        segments_taken: Returns how many complete segments the runner has taken.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        limits: SegmentLimits,
        send: Callable[[TextEvent], None],
        segments_taken: Callable[[], int],
    ) -> None:
        self._normalization = tokenizer.normalization
        self._send, self._segments_taken = send, segments_taken
        self._fed: deque[FedText] = deque()
        self._ended_at_s: float | None = None
        self._sent_end = False
        self._splitter = SegmentSplitter(limits, tokenizer.count, tokenizer.max_count)
        self._normalizer = open_normalizer(tokenizer.normalization)
        self._num_ends = 0

    def feed(self, text: str, at_s: float) -> None:
        """Take more text that was fed at a time by `time.perf_counter`."""
        self._fed += (
            FedText(text[start : start + SLICE], at_s) for start in range(0, len(text), SLICE)
        )

    def end(self, at_s: float) -> None:
        """Note that the text is complete since a time by `time.perf_counter`."""
        self._ended_at_s = at_s

    def work(self) -> bool:
        """Process a slice of the text; returns whether there is more that can be processed now."""
        if not self._has_work:
            return False
        if self._fed:
            piece = self._fed.popleft()
            words: list[SpokenWord] = []
            for event in self._splitter.feed(piece.text):
                if isinstance(event, Boundary):
                    self._end_segment(words, piece.at_s)
                    words = []
                else:
                    words += self._normalizer.feed(event.text)
            if words:
                self._send(TextEvent(text_of(words), piece.at_s, words=tuple(words)))
        else:
            assert self._ended_at_s is not None
            self._sent_end = True
            self._end_segment([], self._ended_at_s, ends_text=True)
        return self._has_work

    @property
    def _has_work(self) -> bool:
        if self._num_ends - self._segments_taken() >= MAX_SEGMENTS_AHEAD:
            return False
        return bool(self._fed) or (self._ended_at_s is not None and not self._sent_end)

    def _end_segment(
        self, words: list[SpokenWord], at_s: float, *, ends_text: bool = False
    ) -> None:
        words = words + self._normalizer.finish()
        self._normalizer = open_normalizer(self._normalization)
        self._num_ends += 1
        self._send(TextEvent(text_of(words), at_s, True, ends_text, tuple(words)))

    def save(self) -> TextState:
        """The state of the stage."""
        return TextState(
            tuple(self._fed),
            self._ended_at_s,
            self._sent_end,
            copy(self._splitter),
            copy(self._normalizer),
            self._num_ends,
        )

    def restore(self, state: TextState) -> None:
        """Continue from a saved state."""
        self._fed = deque(state.fed)
        self._ended_at_s, self._sent_end = state.ended_at_s, state.sent_end
        self._splitter, self._normalizer = copy(state.splitter), copy(state.normalizer)
        self._num_ends = state.num_ends
