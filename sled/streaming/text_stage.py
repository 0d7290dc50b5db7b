"""The first stage of a session: pieces of text to normalised segments.

    TextStage -> SegmentRunner -> AudioStage

Its methods run on the engine's text thread. It sends text events to the segment runner, and does
not run further ahead of it than a few segments: normalising a whole book at once would take time
from the model.

    fed text -> PlainTextReader -> SegmentSplitter -> Normalizer -> SegmentSize -> text events

A pause ends the segment before it. A segment with marks alone is not said.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from sled.normalization import Dialect, Normalizer, SpokenWord, open_normalizer, text_of
from sled.text.known_words import KnownWords
from sled.text.markup import Pause
from sled.text.plain import PlainTextReader
from sled.text.pronunciations import Pronunciations
from sled.text.segment_size import SegmentSize
from sled.text.segments import Boundary, Piece, SegmentLimits, SegmentSplitter
from sled.text.tokenizer import TextTokenizer

logger = logging.getLogger(__name__)

# Characters that are processed before other sessions get their turn.
SLICE = 500
# Complete segments that the runner may have waiting before this stage stops processing text.
MAX_SEGMENTS_AHEAD = 2
# Characters of a text that an error shows, and characters left out that a warning names.
SAMPLE, MAX_NAMED = 40, 20


@dataclass(frozen=True)
class TextEvent:
    """More text of the newest segment.

    Attributes:
        text: Normalised text.
        at_s: When the text that it is made of was fed, by `time.perf_counter`.
        ends_segment: Whether the segment is complete with it.
        ends_text: Whether the whole text is complete with it.
        words: The words of the text, with spans in the text that was fed, see `PlainTextReader`.
        pause_s: The silence after the segment that the text asks for, in seconds.
        written: The text that was fed, up to the end of these words, from where that of the event
            before ended.
    """

    text: str
    at_s: float
    ends_segment: bool = False
    ends_text: bool = False
    words: tuple[SpokenWord, ...] = ()
    pause_s: float = 0.0
    written: str = ""


@dataclass(frozen=True)
class FedText:
    """A piece of text as it was fed.

    Attributes:
        text: The piece.
        at_s: When it was fed, by `time.perf_counter`.
        ends_segment: Whether the segment is complete with it.
    """

    text: str
    at_s: float
    ends_segment: bool = False


@dataclass(frozen=True)
class OpenSegment:
    """The newest segment.

    Attributes:
        normalizer: Normalises it.
        start: Where it begins in the plain text.
        opening: Marks before its first word, which has not come.
        has_word: Whether its first word has come.
        ends_word: Whether the text so far ends with white space.
    """

    normalizer: Normalizer
    start: int
    opening: tuple[SpokenWord, ...] = ()
    has_word: bool = False
    ends_word: bool = False


@dataclass(frozen=True)
class Summary:
    """What is known of the text so far.

    Attributes:
        num_ends: Segments that have been completed.
        sample: The beginning of the plain text, as long as there is no sound.
        has_sound: Whether there is a word or a pause.
        unspoken: Characters that were left out, each once.
    """

    num_ends: int = 0
    sample: str = ""
    has_sound: bool = False
    unspoken: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TextState:
    """A `TextStage` as a value.

    Attributes:
        fed: Text that has not been processed.
        ended_at_s: When the text was complete. None: it is not.
        sent_end: Whether the runner knows that it is complete.
        reader: Turns fed text into plain text.
        num_plain: Characters of the plain text so far.
        splitter: Finds segments.
        size: Divides segments that are too long as they are said. None: none is.
        segment: The newest segment.
        known_words: Leaves out words that the model does not know.
        summary: What is known of the text.
    """

    fed: tuple[FedText, ...]
    ended_at_s: float | None
    sent_end: bool
    reader: PlainTextReader
    num_plain: int
    splitter: SegmentSplitter
    size: SegmentSize | None
    segment: OpenSegment
    known_words: KnownWords
    summary: Summary


class TextStage:
    """Reads text, splits it into segments and normalises them.

    Args:
        tokenizer: Tokenizer of the model. It counts the tokens of words and normalises text.
        limits: Sizes of segments in tokens.
        send: Called with each event, in order.
        segments_taken: Returns how many complete segments the runner has taken.
        pronunciations: The user's dictionary. None: none.
        markup: Whether markup is read.
        known_words: The words that the model can say. None: any word.
        dialect: How the normalisation reads dates in digits and large numbers.

    Raises:
        ValueError: The dictionary has phonemes, and the model was not trained on any.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        limits: SegmentLimits,
        send: Callable[[TextEvent], None],
        segments_taken: Callable[[], int],
        pronunciations: Pronunciations | None = None,
        markup: bool = True,
        known_words: Iterable[str] | None = None,
        dialect: Dialect = "american",
    ) -> None:
        self._send, self._segments_taken = send, segments_taken
        self._fed: deque[FedText] = deque()
        self._ended_at_s: float | None = None
        self._sent_end = False
        self._reader = PlainTextReader(tokenizer.normalization, pronunciations, markup)
        self._num_plain = 0
        self._splitter = SegmentSplitter(limits, tokenizer.count, tokenizer.max_count)
        # Without a normalisation, the splitter counts what is said.
        is_normalized = tokenizer.normalization is not None
        self._size = SegmentSize(limits, tokenizer.token_ends) if is_normalized else None
        self._segment = OpenSegment(open_normalizer(tokenizer.normalization, dialect), 0)
        self._known_words = KnownWords(known_words)
        self._summary = Summary()

    def feed(self, text: str, at_s: float) -> None:
        """Take more text that was fed at a time by `time.perf_counter`."""
        self._fed += (
            FedText(text[start : start + SLICE], at_s) for start in range(0, len(text), SLICE)
        )

    def end_segment(self, at_s: float) -> None:
        """End the newest segment with the text so far, at a time by `time.perf_counter`."""
        self._fed.append(FedText("", at_s, ends_segment=True))

    def end(self, at_s: float) -> None:
        """Note that the text is complete since a time by `time.perf_counter`."""
        self._ended_at_s = at_s

    def work(self) -> bool:
        """Process a slice of the text; returns whether there is more that can be processed now.

        Raises:
            ValueError: Nothing of the complete text can be said.
        """
        if not self._has_work:
            return False
        if self._fed:
            piece = self._fed.popleft()
            read = self._reader.feed(piece.text)
            if piece.ends_segment:  # as a pause does, but without a silence
                end = self._num_plain
                read += [*self._reader.finish(), Pause(0.0, end, end)]
            self._process(read, piece.at_s)
        else:
            assert self._ended_at_s is not None
            self._sent_end = True
            self._process(self._reader.finish(), self._ended_at_s, ended=True)
        return self._has_work

    @property
    def _has_work(self) -> bool:
        if self._summary.num_ends - self._segments_taken() >= MAX_SEGMENTS_AHEAD:
            return False
        return bool(self._fed) or (self._ended_at_s is not None and not self._sent_end)

    def _process(self, pieces: Sequence[str | Pause], at_s: float, *, ended: bool = False) -> None:
        """Divide plain text and pauses into segments, and send what is ready."""
        words: list[SpokenWord] = []
        for piece in pieces:
            if isinstance(piece, Pause):
                words = self._split(self._splitter.finish(), words, at_s)
                self._end_segment(words, at_s, pause_s=piece.seconds)
                words = []
                continue
            if not self._summary.has_sound and len(self._summary.sample) < SAMPLE:
                self._note(sample=(self._summary.sample + piece).lstrip()[:SAMPLE])
            words = self._split(self._splitter.feed(piece), words, at_s)
        if ended:
            words = self._split(self._splitter.finish(), words, at_s)
            self._end_segment(words, at_s, ends_text=True)
        elif words := self._in_segment(words):
            self._send_words(words, at_s)

    def _split(
        self, events: Sequence[Piece | Boundary], words: list[SpokenWord], at_s: float
    ) -> list[SpokenWord]:
        """Normalise text and send the segments that end in it.

        Args:
            events: The text, and the boundaries in it.
            words: Words before it that have not been sent.
            at_s: When it was fed.

        Returns:
            The words that have not been sent.
        """
        for event in events:
            if isinstance(event, Boundary):
                self._end_segment(words, at_s, ends_word=self._segment.ends_word)
                words = []
            else:
                self._num_plain += len(event.text)
                self._segment = replace(self._segment, ends_word=event.text[-1].isspace())
                words = words + self._segment.normalizer.feed(event.text)
        return words

    def _in_segment(self, words: list[SpokenWord], *, ended: bool = False) -> list[SpokenWord]:
        """The words with spans in the fed text; none before the first word of the segment."""
        words = self._known_words.feed(self._reader.trace(words, self._segment.start))
        if ended:
            words += self._known_words.finish()
        if not self._segment.has_word:
            words = [*self._segment.opening, *words]
            has_word = any(character.isalnum() for character in text_of(words))
            opening = () if has_word else tuple(words)
            self._segment = replace(self._segment, opening=opening, has_word=has_word)
            if not has_word:
                return []
            self._note(has_sound=True)
        return words

    def _end_segment(
        self,
        words: list[SpokenWord],
        at_s: float,
        *,
        pause_s: float = 0.0,
        ends_word: bool = True,
        ends_text: bool = False,
    ) -> None:
        """Send the end of the segment, and open the next one.

        The next segment continues it, so its last word has a space behind it, unless the word
        itself was cut.
        """
        normalizer = self._segment.normalizer
        words = self._in_segment(words + normalizer.finish(goes_on=not ends_text), ended=True)
        if words and ends_word and not ends_text and not words[-1].text[-1:].isspace():
            words = [*words[:-1], replace(words[-1], text=f"{words[-1].text} ")]
        self._segment = OpenSegment(normalizer.following(), self._num_plain)
        summary = self._summary
        unspoken = dict.fromkeys((*summary.unspoken, *normalizer.unspoken))
        self._note(
            num_ends=summary.num_ends + 1,
            has_sound=summary.has_sound or pause_s > 0,
            unspoken=tuple(unspoken)[:MAX_NAMED],
        )
        if ends_text:
            self._report()
        self._send_words(words, at_s, True, ends_text, pause_s)

    def _send_words(
        self,
        words: Sequence[SpokenWord],
        at_s: float,
        ends_segment: bool = False,
        ends_text: bool = False,
        pause_s: float = 0.0,
    ) -> None:
        """Send words of the newest segment, and boundaries where they exceed its largest size."""
        *full, rest = [words] if self._size is None else self._size.divide(words)
        self._note(num_ends=self._summary.num_ends + len(full))
        for part in full:
            self._send_event(part, at_s, True, False, 0.0)
        self._send_event(rest, at_s, ends_segment, ends_text, pause_s)
        if ends_segment and self._size is not None:
            self._size.start()

    def _send_event(
        self,
        words: Sequence[SpokenWord],
        at_s: float,
        ends_segment: bool,
        ends_text: bool,
        pause_s: float,
    ) -> None:
        end = words[-1].end if words else 0
        written = self._reader.take_written(None if ends_text else end)
        event = TextEvent(
            text_of(words), at_s, ends_segment, ends_text, tuple(words), pause_s, written
        )
        self._send(event)

    def _note(self, **changes: Any) -> None:
        self._summary = replace(self._summary, **changes)

    def _report(self) -> None:
        """Name what was left out, at the end of the text.

        Raises:
            ValueError: That is all of the text.
        """
        sample = self._summary.sample.rstrip()
        if not self._summary.has_sound:
            if not sample:
                raise ValueError("the text is blank: give at least one word to say")
            raise ValueError(
                f"nothing of the text can be said, since it has no word that this model knows: "
                f"{sample!r}"
            )
        if unspoken := " ".join((*self._known_words.left_out, *self._summary.unspoken)):
            logger.warning("left out of the speech, as this model cannot say it: %s", unspoken)

    def save(self) -> TextState:
        """The state of the stage."""
        return TextState(
            tuple(self._fed),
            self._ended_at_s,
            self._sent_end,
            copy(self._reader),
            self._num_plain,
            copy(self._splitter),
            copy(self._size),
            replace(self._segment, normalizer=copy(self._segment.normalizer)),
            copy(self._known_words),
            self._summary,
        )

    def restore(self, state: TextState) -> None:
        """Continue from a saved state."""
        self._fed = deque(state.fed)
        self._ended_at_s, self._sent_end = state.ended_at_s, state.sent_end
        self._reader, self._num_plain = copy(state.reader), state.num_plain
        self._splitter, self._size = copy(state.splitter), copy(state.size)
        self._segment = replace(state.segment, normalizer=copy(state.segment.normalizer))
        self._known_words = copy(state.known_words)
        self._summary = state.summary
