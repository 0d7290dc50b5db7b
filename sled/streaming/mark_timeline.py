"""When each word of a session is said.

    PlaceReader -> places of frames -> MarkTimeline -> marks

The text tracker tells which token of the text is being said at the end of each frame. So a word
begins within the first frame that says one of its tokens. A pause between two words is said with
the end of the first or the beginning of the second; near-silence there is taken off both.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, replace
from itertools import takewhile

from sled.streaming.loudness import WINDOW_S
from sled.streaming.marks import MARK_KINDS, Mark, MarkKind
from sled.streaming.place_reader import BEHIND, SpokenPlaces, WordPart

# Categories of the characters behind a word that count as a part of it: . , ; : ! ? ) ] and quotes.
_CLOSING_MARKS = ("Po", "Pe", "Pf")
# In windows. A shorter silence at the edge of a word is the closure of a consonant. In front of the
# silence, the other word may reach a little beyond the edge.
MIN_PAUSE, MAX_EDGE = 8, 3


@dataclass(frozen=True)
class _Word:
    """A written word, number or other item.

    Attributes:
        first: Its first place.
        behind: The place behind it.
        start_char: Where it begins in the fed text.
        end_char: Where it ends.
        has_sound: Whether it is more than punctuation.
        complete: Whether all of its parts have come.
        end: The sample at which it ends.
        knots: Places within it, and the samples at which they were reached, the first one first.
            Empty until it has begun.
        shift: Samples of the pauses before it, which its other samples do not count until it has
            been said.
    """

    first: int
    behind: int
    start_char: int
    end_char: int
    has_sound: bool
    complete: bool
    end: int = 0
    knots: tuple[tuple[int, int], ...] = ()
    shift: int = 0

    @classmethod
    def of(cls, part: WordPart, first: int) -> _Word:
        """A word of which the first part has come."""
        behind = first + part.size
        return cls(first, behind, part.start_char, part.end_char, part.has_sound, part.complete)

    @property
    def start(self) -> int:
        """The sample at which it begins."""
        return self.knots[0][1]

    @property
    def num_characters(self) -> int:
        """Its characters in the fed text."""
        return self.end_char - self.start_char

    def takes(self, part: WordPart) -> bool:
        """Whether a part that comes next belongs to this word."""
        is_of_item = part.size > 0 and part.start_char < self.end_char
        return is_of_item or not self.complete

    def with_part(self, part: WordPart) -> _Word:
        """The word with its next part, or with its end."""
        if not part.size:
            return replace(self, complete=True)
        return replace(
            self,
            behind=self.behind + part.size,
            end_char=max(self.end_char, part.end_char),
            has_sound=self.has_sound or part.has_sound,
            complete=part.complete,
        )

    def within(self, start: int, end: int, shift: int = 0) -> _Word:
        """The word from one sample to another one, both of which are then shifted."""
        knots = tuple((place, min(max(sample, start), end) + shift) for place, sample in self.knots)
        knots = ((self.first, start + shift), *knots[1:])
        return replace(self, knots=knots, end=end + shift)

    def sample_of(self, character: int) -> float:
        """The sample at which one of its characters begins, once the word has ended."""
        share = character / max(1, self.num_characters)
        place = self.first + share * (self.behind - self.first)
        knots = (*self.knots, (self.behind, self.end))
        index = min(bisect_right(knots, place, key=lambda knot: knot[0]), len(knots) - 1)
        (before, earlier), (after, later) = knots[index - 1], knots[index]
        return earlier + (later - earlier) * (place - before) / max(1, after - before)


class MarkTimeline:
    """Gathers when each word of a session is said.

    One thread changes it; others may read it at any time.

    Args:
        sample_rate: In Hz.
        hop_length: Samples of a frame.

    Attributes:
        written: The fed text, as far as it has been spoken of.
    """

    def __init__(self, sample_rate: int, hop_length: int) -> None:
        self._sample_rate, self._hop_length = sample_rate, hop_length
        self.written = ""
        self._words: deque[_Word] = deque()  # that have not begun
        self._open: _Word | None = None
        self._ended: tuple[_Word, ...] = ()  # whose audio has not been heard
        self._said: list[_Word] = []
        self._window = round(WINDOW_S * sample_rate)
        self._silent = bytearray()  # for each window of the audio
        self._num_characters = [0]  # of the words said, summed up
        self._segment = -1
        self._num_places = 0  # of all words
        self._reached = 0  # the sample at which the next frame begins, without pauses
        self._shift = 0  # samples of the pauses so far
        self._finished = False  # all of the text has been said

    def copy(self) -> MarkTimeline:
        """An independent copy."""
        other = copy(self)
        other._words, other._said = copy(self._words), copy(self._said)
        other._num_characters, other._silent = copy(self._num_characters), copy(self._silent)
        return other

    # What is said.

    def add(self, spoken: SpokenPlaces, segment: int, pause: int = 0) -> None:
        """Take the next frames.

        Args:
            spoken: What they say.
            segment: The number of their segment.
            pause: Samples of the silence behind them.
        """
        self.written += spoken.written
        for part in spoken.words:
            self._add_part(part)
        if spoken.frames and segment != self._segment:
            self._segment = segment
            self._begin_segment(spoken.segment_start, spoken.frames[0])
        for place in spoken.frames:
            if place >= 0:
                self._reach(place)
            elif place == BEHIND:
                self._close(self._reached + self._hop_length // 2)
            self._reached += self._hop_length
        while self._words and self._words[0].first < spoken.said:
            self._begin(self._reached)
        if spoken.said:
            self._close(self._reached)
        self._shift += pause

    def hear(self, silent: Iterable[bool]) -> None:
        """Take whether the next windows of the audio, without pauses, are nearly silent."""
        self._silent += bytes(silent)
        num_heard = len(self._silent) * self._window
        while self._ended and self._ended[0].end <= num_heard:
            self._note_said()

    def _note_said(self) -> None:
        """Move the next word, whose audio has been heard, to those that have been said."""
        word = self._ended[0]
        start, end = word.start, word.end
        first, behind = start // self._window, -(-end // self._window)
        windows = self._silent[first:behind]
        before, after = _pause_at_start(windows), _pause_at_start(windows[::-1])
        if len(windows) - before - after > MAX_EDGE:
            start = (first + before) * self._window if before else start
            end = (behind - after) * self._window if after else end
        self._num_characters.append(self._num_characters[-1] + word.num_characters)
        self._said.append(word.within(start, end, word.shift))
        self._ended = self._ended[1:]

    def _begin_segment(self, start: int, place: int) -> None:
        """Begin a segment whose text begins at a place, and whose first frame says another one."""
        if self._open is not None and self._open.behind <= start:
            self._close(self._reached)
        while self._words and self._words[0].behind <= start:  # never said
            self._words.popleft()
        if self._words and self._words[0].first <= place:  # the first word begins with the segment
            self._begin(self._reached)

    def finish(self, num_samples: int) -> None:
        """End the timeline with its audio, which may have been trimmed."""
        self._close(self._reached)
        while self._ended:
            self._note_said()
        index = len(self._said)
        while index and self._said[index - 1].end > num_samples:
            index -= 1
            word = self._said[index]
            self._said[index] = word.within(min(word.start, num_samples), num_samples)
        self._finished = not any(word.has_sound for word in self._words)

    def _add_part(self, part: WordPart) -> None:
        newest = self._words[-1] if self._words else self._open
        if newest is not None and newest.takes(part):
            newest = newest.with_part(part)
            if self._words:
                self._words[-1] = newest
            else:
                self._open = newest
        elif part.size:
            self._words.append(_Word.of(part, self._num_places))
        self._num_places += part.size

    def _reach(self, place: int) -> None:
        """Note that a place is being said at the end of the next frame.

        The boundary that was passed within the frame is taken to be in its middle, and several are
        taken to divide it evenly.
        """
        count = sum(1 for _ in takewhile(lambda word: word.first <= place, self._words))
        for number in range(count):
            self._begin(self._reached + round(self._hop_length * (number + 0.5) / count))
        word, middle = self._open, self._reached + self._hop_length // 2
        if word is None:
            return
        last, _ = word.knots[-1]
        if last < place < word.behind:
            knot = (place, max(middle, word.start))
            self._open = replace(word, knots=(*word.knots, knot))

    def _begin(self, sample: int) -> None:
        """Let the next word begin, and the one before it end."""
        self._close(sample)
        word = self._words.popleft()
        self._open = replace(word, knots=((word.first, sample),), shift=self._shift)

    def _close(self, sample: int) -> None:
        word, self._open = self._open, None
        if word is not None and word.has_sound:
            self._ended = (*self._ended, replace(word, end=max(word.knots[-1][1], sample)))

    def _heard_start(self, word: _Word) -> int:
        """Where a word begins that has not been said, as far as its audio has been heard."""
        first = word.start // self._window
        found = self._silent.find(0, first)
        begins = (len(self._silent) if found < 0 else found) * self._window
        late = begins - word.start >= MIN_PAUSE * self._window
        return word.shift + (begins if late else word.start)

    # For its readers.

    def marks(self, kind: MarkKind, since: int, num_samples: int) -> list[Mark]:
        """The marks of a kind that end within the first samples.

        Args:
            kind: Of words, or of characters.
            since: How many marks to leave out, from the first one on.
            num_samples: How many samples.

        Raises:
            ValueError: For an unknown kind.
        """
        if kind not in MARK_KINDS:
            raise ValueError(f"marks of kind {kind!r}: choose one of {', '.join(MARK_KINDS)}")
        said = self._said
        num_said = bisect_right(said, num_samples, key=lambda word: word.end)
        if kind == "word":
            return [self._mark(word, 0, word.num_characters) for word in said[since:num_said]]
        first = bisect_right(self._num_characters, since) - 1
        marks = [
            self._mark(word, index, index + 1)
            for word in said[first:num_said]
            for index in range(word.num_characters)
        ]
        return marks[since - self._num_characters[first] :]

    def _mark(self, word: _Word, first: int, behind: int) -> Mark:
        """The mark of some characters of a word."""
        start, end = (word.sample_of(index) / self._sample_rate for index in (first, behind))
        start_char, end_char = word.start_char + first, word.start_char + behind
        return Mark(self.written[start_char:end_char], start, end, start_char, end_char)

    def heard_text(self, num_samples: int) -> str:
        """The text, as it was fed, whose words begin within the first samples.

        Marks directly behind a word belong to it.
        """
        ended, newest, said = self._ended, self._open, self._said
        if self._finished and said and num_samples >= said[-1].end:
            return self.written
        count = bisect_left(said, num_samples, key=lambda one: one.start)
        begun = said[count - 1 : count] if count else []
        for word in ended if newest is None or not newest.has_sound else (*ended, newest):
            if self._heard_start(word) < num_samples:
                begun.append(word)
        if not begun:
            return ""
        end = begun[-1].end_char
        while end < len(self.written) and unicodedata.category(self.written[end]) in _CLOSING_MARKS:
            end += 1
        return self.written[:end]


def _pause_at_start(silent: bytearray) -> int:
    """How many windows a pause at the start of a word takes, with what is in front of it."""
    start = silent.find(1)
    end = silent.find(0, max(0, start))
    is_pause = 0 <= start <= MAX_EDGE and end - start >= MIN_PAUSE
    return end if is_pause else 0
