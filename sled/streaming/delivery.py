"""How a session speaks."""

from __future__ import annotations

from dataclasses import dataclass, field

from sled.config import SpeechLlamaConfig
from sled.decoding import DecodingOptions
from sled.layout import Layout
from sled.streaming.chunks import ChunkRamp
from sled.streaming.sentences import SegmentLimits
from sled.streaming.voice import Voice

# Of a model's positions, so many may hold the speech that a segment continues.
PAST_SHARE = 1 / 3
# Of models whose configuration does not say.
MAX_FRAMES_PER_TOKEN = 30.0


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """How a session speaks.

    Attributes:
        options: How frames are drawn and when a segment ends.
        layout: None: the checkpoint's own.
        voice: To speak with. None: any the model comes up with.
        ramp: How many frames are made audible at once.
        limits: Sizes of segments, in tokens. None: as `default_limits` finds for the model.
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
    max_ahead_s: float | None = None
    trim_tail: bool = False
    max_silence_s: float | None = None


def default_limits(config: SpeechLlamaConfig) -> SegmentLimits:
    """Sizes of segments, in tokens, that leave room for their speech and for what they continue."""
    frames_per_token = config.max_frames_per_token or MAX_FRAMES_PER_TOKEN
    room = config.max_position_embeddings * (1 - PAST_SHARE)
    limit = max(2, int(room / (1 + frames_per_token)))
    return SegmentLimits(target=(limit + 1) // 2, limit=limit)
