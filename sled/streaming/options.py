"""How a session speaks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sled.decoding import DecodingOptions
from sled.model.config import Config
from sled.model.layout import Layout
from sled.streaming.chunks import ChunkRamp
from sled.streaming.segment_budget import Room
from sled.streaming.voice import Voice
from sled.text.segments import SegmentLimits


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """How a session speaks.

    Attributes:
        options: How frames are drawn and when a segment ends.
        layout: None: the checkpoint's own.
        voice: To speak with. None: any the model comes up with.
        ramp: How many frames are made audible at once.
        limits: Sizes of segments, in tokens. None: as `Room` finds for the model.
        max_start_delay_s: Text that comes more slowly than it is spoken lets the first sound wait,
            at most so long, see `sled.streaming.start_delay`. 0: it never waits.
        max_ahead_s: Speech that may wait to be taken before the model pauses. None: any amount.
        trim_tail: Leave out near-silence at the end.
        max_silence_s: A segment of which all text has been read ends after so much near-silence.
            None: only when the model says so.
    """

    options: DecodingOptions = field(default_factory=DecodingOptions)
    layout: Layout | None = None
    voice: Voice | None = None
    ramp: ChunkRamp = field(default_factory=ChunkRamp)
    limits: SegmentLimits | None = None
    max_start_delay_s: float = 0.0
    max_ahead_s: float | None = None
    trim_tail: bool = False
    max_silence_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_ahead_s", "max_silence_s"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ValueError(f"{name}={value}: give seconds above 0, or None for no limit")
        if not 0 <= self.max_start_delay_s < math.inf:
            raise ValueError(f"max_start_delay_s={self.max_start_delay_s}: give seconds, or 0")

    def room(self, config: Config) -> Room:
        """How much of a text fits a segment.

        Raises:
            ValueError: If the voice's recording leaves none.
        """
        return Room(
            config,
            self.options,
            self.layout or Layout.from_config(config),
            prompt_frames=0 if self.voice is None else len(self.voice.latents),
            prompt_positions=0 if self.voice is None else self.voice.num_positions,
        )
