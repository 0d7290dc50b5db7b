"""Where a session stands in its text and its speech, the decoder and the codec aside."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace

from torch import Tensor

from sled.normalization import Normalizer
from sled.text.incremental import IncrementalTokenizer
from sled.text.segments import SegmentSplitter


@dataclass
class Segment:
    """A part of the text.

    Attributes:
        text: What has come of it and not been given to the decoder.
        unread: What comes before that, normalised: it was given to the decoder once, but not read.
        ended: Whether no more of it comes.
        given: Whether the decoder has all of it.
    """

    text: str = ""
    unread: str = ""
    ended: bool = False
    given: bool = False

    @property
    def blank(self) -> bool:
        """Whether there is nothing to say."""
        return not (self.unread + self.text).strip()


@dataclass(frozen=True, eq=False)
class Spoken:
    """A segment that has been said: its text, and its frames [T, D]."""

    text: str
    latents: Tensor


@dataclass
class Position:
    """Where a track stands, the decoder and the codec aside.

    Attributes:
        splitter: Finds where segments begin.
        segments: The one being said, or next to be, and those after it; the last is open until
            the text has ended.
        text_ended: Whether no more text comes.
        normalizer: Normalises the segment being said.
        tokens: Tokenizes it.
        said: Its text so far, normalised.
        frames: Its frames so far.
        num_frames: Frames of all segments so far.
        past: What the next segment continues: the voice, and as many segments as there is room for.
        number: Segments begun so far.
        pending: Frames that have not been handed to the codec.
        chunk_frames: Number of frames that will be handed over next.
        stopped: Whether all segments so far ended by themselves.
    """

    splitter: SegmentSplitter
    chunk_frames: int
    segments: list[Segment] = field(default_factory=lambda: [Segment()])
    text_ended: bool = False
    normalizer: Normalizer | None = None
    tokens: IncrementalTokenizer | None = None
    said: str = ""
    frames: list[Tensor] = field(default_factory=list)
    num_frames: int = 0
    past: list[Spoken] = field(default_factory=list)
    pending: list[Tensor] = field(default_factory=list)
    stopped: bool = True
    number: int = 0

    def copy(self) -> Position:
        """A position that goes its own way from here on."""
        return replace(
            self,
            splitter=copy(self.splitter),
            segments=[copy(segment) for segment in self.segments],
            normalizer=copy(self.normalizer),
            tokens=copy(self.tokens),
            frames=list(self.frames),
            past=list(self.past),
            pending=list(self.pending),
        )
