"""A segment runner as a value, for snapshots."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sled.decoding import UtteranceState
from sled.streaming.history import History
from sled.streaming.place_reader import PlaceReader
from sled.streaming.segment_speech import SegmentSpeech
from sled.streaming.unit_buffer import UnitBuffer


@dataclass
class Segment:
    """A part of the text.

    Attributes:
        text: Normalised text that the decoder does not have yet.
        ended: Whether all of its text is known.
        given: Whether the decoder has all of its text.
        pause_s: The silence after it that the text asks for, in seconds.
    """

    text: str = ""
    ended: bool = False
    given: bool = False
    pause_s: float = 0.0


@dataclass(frozen=True, eq=False)
class RunnerState:
    """A `SegmentRunner` as a value; see its attributes.

    Attributes:
        segments: See `SegmentRunner`, as for the other attributes.
        text_ended: See there.
        num_taken: See there.
        segment_number: See there.
        speech: See there.
        num_frames: See there.
        history: See there.
        buffer: See there.
        places: See there.
        stopped: See there.
        utterance: The state of the utterance. None: there was none.
        noise_state: The state of the generator.
    """

    segments: list[Segment]
    text_ended: bool
    num_taken: int
    segment_number: int
    speech: SegmentSpeech
    num_frames: int
    history: History
    buffer: UnitBuffer
    places: PlaceReader
    stopped: bool
    utterance: UtteranceState | None
    noise_state: Tensor
