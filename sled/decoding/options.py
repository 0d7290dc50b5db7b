"""How units are drawn and when speech ends."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from sled.model.config import Config
from sled.model.ids import Sampling
from sled.model.interface import FrameModel
from sled.model.layout import Layout

MAX_DRAWS = 1000  # they are computed at once, and no more are of use
OFFLINE_STOP_THRESHOLD, STREAM_STOP_THRESHOLD = 0.8, 0.5


@dataclass(frozen=True, kw_only=True)
class DecodingOptions:
    """How frames are drawn and when speech ends.

    Attributes:
        cfg: Guidance scale c: the head reads u + c (h - u), where h is the hidden state with the
            text and u without. At 1, u is not computed.
        temperature: Scale of the head's noise, or what the scores of ids are divided by. 0 is
            deterministic, 1 as trained.
        sampling: Which ids may be drawn, for models whose units are ids.
        draws: Number of draws that a unit is the mean of, up to 1000. More draws make fewer
            mistakes and less lively speech. Only for heads whose units have a mean.
        stop_threshold: Stop when the stop probability reaches it; above 1 for never. None: 0.8
            offline, 0.5 streaming.
        min_frames: Speech does not stop before this many new frames.
        max_frames: Speech is cut after this many new frames. None: when the positions are full.
        max_length: Positions to fill at most: text, prompt and new frames. None: all of the model.
        length_tolerance: Factor by which speech may be shorter or longer, for its text, than
            nearly all of the training data, if the model's configuration tells these lengths.
            None: any factor.
        stop_before_text_end: Allow speech in the streaming layout to stop before all text is read.
        track_text: If the codec has a token channel, keep speech in the order of its text, limit
            how long a token lasts, and stop at the end of the text only; see
            `sled.decoding.text_tracker`.
    """

    cfg: float = 2.0
    temperature: float = 1.0
    sampling: Sampling = field(default_factory=Sampling)
    draws: int = 1
    stop_threshold: float | None = None
    min_frames: int = 0
    max_frames: int | None = None
    max_length: int | None = None
    length_tolerance: float | None = 1.5
    stop_before_text_end: bool = False
    track_text: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.cfg < math.inf:  # nor NaN
            raise ValueError(
                f"cfg={self.cfg} must be at least 0: use 1 for no guidance, 2 as recommended"
            )
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature={self.temperature} must be at least 0: 1 is as trained")
        if not isinstance(self.draws, int) or not 1 <= self.draws <= MAX_DRAWS:
            raise ValueError(f"draws={self.draws}: give a whole number from 1 to {MAX_DRAWS}")
        if self.stop_threshold is not None and not self.stop_threshold > 0:
            raise ValueError(f"stop_threshold={self.stop_threshold} must be above 0")
        if self.min_frames < 0:
            raise ValueError(f"min_frames={self.min_frames} is below 0")
        if self.max_frames is not None and self.max_frames < max(1, self.min_frames):
            raise ValueError(
                f"max_frames={self.max_frames} must be at least 1 and min_frames={self.min_frames}"
            )
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"max_length={self.max_length} must be at least 1: None is no limit")
        if self.length_tolerance is not None and not self.length_tolerance >= 1:
            raise ValueError(f"length_tolerance={self.length_tolerance}: the factor is at least 1")

    @classmethod
    def of_model(cls, config: Config) -> DecodingOptions:
        """The settings that a model's configuration recommends."""
        speaking = config.speaking
        own_cfg = speaking.cfg if speaking.distilled_cfg is None else 1.0
        return cls(
            temperature=speaking.temperature,
            sampling=speaking.sampling(),
            length_tolerance=speaking.length_tolerance,
            draws=speaking.draws,
            cfg=cls.cfg if own_cfg is None else own_cfg,
        )

    def after(self, num_frames: int) -> DecodingOptions:
        """The options after so many frames, which count for `max_frames`."""
        if self.max_frames is None:
            return self
        left = self.max_frames - num_frames
        return replace(self, max_frames=left, min_frames=min(self.min_frames, left))

    def positions(self, max_position_embeddings: int) -> int:
        """The number of positions that an utterance may fill: text, prompt and new frames."""
        if self.max_length is None:
            return max_position_embeddings
        return min(max_position_embeddings, self.max_length)

    @classmethod
    def with_all_rows(cls, model: FrameModel) -> DecodingOptions:
        """Options under which an utterance has all the rows that it can have."""
        return cls(cfg=cls.cfg if has_guidance(model) else 1.0)

    def check(self, model: FrameModel, layout: Layout) -> None:
        """Check that a model can be decoded with these options, in a layout.

        Raises:
            ValueError: For several draws of units that have no mean, guidance of a model that has
                none, or chunks of text for a model that encodes whole texts.
        """
        if self.draws > 1 and not model.averages:
            raise ValueError(f"draws={self.draws}: this model's units have no mean; use 1")
        if self.guided and not has_guidance(model):
            raise ValueError(f"cfg={self.cfg}: this model has no guidance; use 1")
        if model.encodes_text and not layout.is_offline:
            raise ValueError(f"{layout}: this model reads the whole text before it speaks")

    @property
    def guided(self) -> bool:
        """Whether drawing takes a second row without the text."""
        return self.cfg != 1


def has_guidance(model: FrameModel) -> bool:
    """Whether a model was trained without text, too.

    Those whose ids end speech were not as published; others tell so in their configuration.
    """
    if model.ids is None or model.ids.end is None:
        return True
    return model.config.objective.training_cfg > 0
