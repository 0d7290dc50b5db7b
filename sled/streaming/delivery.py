"""How a session speaks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sled.config import SpeechLlamaConfig
from sled.decoding import DecodingOptions
from sled.layout import Layout
from sled.streaming.chunks import ChunkRamp
from sled.streaming.sentences import SegmentLimits
from sled.streaming.voice import Voice

# Of a model's positions, so many may hold the speech that a segment continues, and so many its own.
PAST_SHARE = SEGMENT_SHARE = 0.4
# A word that is being written may take so many.
WORD_TOKENS = 8
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
        limits: Sizes of segments, in tokens. None: as `segment_limits` finds for the model.
        max_start_delay_s: Text that comes more slowly than it is spoken lets the first sound wait,
            at most so long, see `sled.streaming.start`. 0: it never waits.
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


def segment_limits(config: SpeechLlamaConfig, delivery: Delivery) -> SegmentLimits:
    """Sizes of segments, in tokens, that leave room for their speech and for what they continue.

    Raises:
        ValueError: If the voice's recording leaves none.
    """
    positions = delivery.options.positions(config.max_position_embeddings)
    layout = delivery.layout or Layout.from_config(config)
    frames_per_token = config.max_frames_per_token or MAX_FRAMES_PER_TOKEN
    if layout.text_chunk is not None and layout.speech_chunk is not None:
        # Text is read no faster than that, however fast it is said.
        frames_per_token = max(frames_per_token, layout.speech_chunk / layout.text_chunk)
    room = SEGMENT_SHARE * positions
    if delivery.voice is not None:
        room = min(room, positions - delivery.voice.num_positions)
    limit = int(room / (1 + frames_per_token))
    if limit < 2 and delivery.voice is not None:
        raise ValueError(
            f"the voice's recording is too long: with {delivery.voice.num_positions} of "
            f"{positions} positions it leaves no room for speech; take a shorter one"
        )
    limit = max(2, limit)
    return SegmentLimits(target=(limit + 1) // 2, limit=limit, word=min(WORD_TOKENS, limit // 2))
