"""The settings of a session."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sled.decoding import DecodingOptions
from sled.model.config import Config
from sled.model.layout import Layout
from sled.normalization import Dialect
from sled.streaming.arguments import check_decoding, check_layout, check_seed, check_voice
from sled.streaming.chunks import ChunkRamp
from sled.streaming.loudness import output_gain_db
from sled.streaming.segment_budget import SegmentBudget
from sled.streaming.voice import Prompt, Voice
from sled.text.pronunciations import Pronunciations
from sled.text.segments import SegmentLimits

Encoding = Literal["float32", "int16"]


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """The settings of a session.

    Attributes:
        decoding: How units are drawn and when speech ends; `min_frames` and `max_length` apply to
            each segment. None: the checkpoint's recommendation.
        layout: How text and speech interleave. None: the checkpoint's own. In the offline layout, a
            segment is spoken once its text is complete.
        voice: The voice to speak with. A prompt is prepared first, see `TTS.make_voice`. None: the
            model chooses.
        seed: The same seed says the same text in the same way.
        ramp: How many frames are decoded to audio at once. None: few at first, then up to 0.43 s.
        limits: Sizes of segments in tokens. None: as `SegmentBudget` computes them for the model.
        max_start_delay_s: If text comes more slowly than it is spoken, the first sound is delayed
            by the expected deficit, so that playback does not stall, but at most by this much. 0:
            never.
        max_ahead_s: The model pauses when this much audio waits to be taken. None: never.
        max_lead_s: With more audio than this made and not yet played, or always if this is None
            (nobody listens), the session rests while others are short of audio. A listener is
            taken to play what he takes from the first audio on.
        playback_speed: By what factor the listener plays the audio faster, after a change of tempo
            that is not the session's. It matters for `max_lead_s`.
        trim_tail: Whether to drop near-silence at the end.
        max_silence_s: A segment whose text has been read ends after this much near-silence. None:
            only where the model stops.
        encoding: The type of the audio.
        dialect: How dates in digits and large numbers are read, see `sled.normalization`:
            "american" or "british".
        gain_db: What the audio is amplified by, in dB. None: by what brings the model's speech to
            about -20 dB of full scale, if its configuration tells its level.
        pronunciations: How words are to be pronounced: entries, or the path of a file, see
            `sled.text.pronunciations`. None: as usual.
        markup: Whether pauses, tags and Markdown in the text are read, see `sled.text.markup`.

    Raises:
        ValueError: For an invalid value.
    """

    decoding: DecodingOptions | None = None
    layout: Layout | None = None
    voice: Voice | Prompt | str | None = None
    seed: int = 0
    ramp: ChunkRamp | None = None
    limits: SegmentLimits | None = None
    max_start_delay_s: float = 1.0
    max_ahead_s: float | None = 30.0
    max_lead_s: float | None = 10.0
    playback_speed: float = 1.0
    trim_tail: bool = False
    max_silence_s: float | None = None
    encoding: Encoding = "float32"
    dialect: Dialect = "american"
    gain_db: float | None = None
    pronunciations: Pronunciations | Mapping[str, str] | str | Path | None = None
    markup: bool = True

    def __post_init__(self) -> None:
        check_decoding(self.decoding)
        check_layout(self.layout)
        check_voice(self.voice)
        changes: dict[str, object] = {"seed": check_seed(self.seed)}
        if self.pronunciations is not None:
            changes["pronunciations"] = Pronunciations.of(self.pronunciations)
        for name, value in changes.items():
            object.__setattr__(self, name, value)
        for name in ("max_ahead_s", "max_lead_s", "max_silence_s"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ValueError(f"{name}={value}: give seconds above 0, or None for no limit")
        if not 0 < self.playback_speed < math.inf:
            raise ValueError(f"playback_speed={self.playback_speed}: give a factor above 0")
        if not 0 <= self.max_start_delay_s < math.inf:
            raise ValueError(f"max_start_delay_s={self.max_start_delay_s}: give seconds, or 0")
        if self.gain_db is not None and not math.isfinite(self.gain_db):
            raise ValueError(f"gain_db={self.gain_db}: give decibels, 0 for none")
        if self.encoding not in ("float32", "int16"):
            raise ValueError(f"encoding={self.encoding!r}: choose float32 or int16")

    def output_gain_db(self, config: Config) -> float:
        """What the audio of a model with this configuration is amplified by, in dB."""
        return output_gain_db(config.speaking) if self.gain_db is None else self.gain_db

    def budget(self, config: Config) -> SegmentBudget:
        """How much text and speech a segment can hold.

        Args:
            config: The model's configuration.

        Raises:
            ValueError: If the recording of the voice is too long.
        """
        voice = self.voice
        assert not isinstance(voice, Prompt | str), "prepare the voice first"
        return SegmentBudget(
            config,
            self.decoding or DecodingOptions.of_model(config),
            self.layout or Layout.from_config(config),
            prompt_frames=0 if voice is None else len(voice.units),
            prompt_positions=0 if voice is None else voice.num_positions,
        )
