"""How frames are drawn and when speech ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sled.model.config import Config

OFFLINE_STOP_THRESHOLD, STREAM_STOP_THRESHOLD = 0.8, 0.5


@dataclass(frozen=True, kw_only=True)
class DecodingOptions:
    """How frames are drawn and when speech ends.

    Attributes:
        cfg: Guidance scale c: the head sees u + c (h - u), h with the text and u without. At 1
            the text-free companion is not computed.
        temperature: Scale of the head's noise. 0 is deterministic, 1 as trained.
        draws: Of how many draws a frame is the mean: more make fewer mistakes, and less lively
            speech.
        stop_threshold: Stop when the stop probability reaches it; above 1 for never. None: 0.8
            offline, 0.5 chunked.
        min_frames: New frames of speech before which a row may not stop.
        max_frames: New frames after which a row is cut. None: as many as the positions hold.
        max_length: Positions a row may fill: text, prompt and new frames. None: all the model has.
        length_tolerance: By what factor speech may be shorter or longer for its text than nearly
            all of the training data, if the model's configuration tells that. None: by any.
        stop_before_text_end: Let a chunked row stop while text is still unread.
        keep_place: Hold speech to the order of its text, let no token last for ever, and stop at
            the end of the text and there only, if frames tell which token is being said; see
            `sled.decoding.text_tracker`.
    """

    cfg: float = 2.0
    temperature: float = 1.0
    draws: int = 1
    stop_threshold: float | None = None
    min_frames: int = 0
    max_frames: int | None = None
    max_length: int | None = None
    length_tolerance: float | None = 1.5
    stop_before_text_end: bool = False
    keep_place: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.cfg < math.inf:  # nor NaN
            raise ValueError(
                f"cfg={self.cfg} must be at least 0: use 1 for no guidance, 2 as recommended"
            )
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature={self.temperature} must be at least 0: 1 is as trained")
        if not isinstance(self.draws, int) or self.draws < 1:
            raise ValueError(f"draws={self.draws}: give a whole number of at least 1")
        if self.stop_threshold is not None and not self.stop_threshold > 0:
            raise ValueError(f"stop_threshold={self.stop_threshold} must be above 0")
        if self.min_frames < 0:
            raise ValueError(f"min_frames={self.min_frames} is below 0")
        if self.max_frames is not None and self.max_frames < max(1, self.min_frames):
            raise ValueError(
                f"max_frames={self.max_frames} must be at least 1 and min_frames={self.min_frames}"
            )
        if self.length_tolerance is not None and not self.length_tolerance >= 1:
            raise ValueError(f"length_tolerance={self.length_tolerance}: the factor is at least 1")

    @classmethod
    def of_model(cls, config: Config) -> DecodingOptions:
        """A model's own, or the recommended; no guidance if it was taught to do without."""
        speaking = config.speaking
        own_cfg = speaking.cfg if speaking.distilled_cfg is None else 1.0
        return cls(
            temperature=speaking.temperature,
            draws=speaking.draws,
            cfg=cls.cfg if own_cfg is None else own_cfg,
        )

    def positions(self, max_position_embeddings: int) -> int:
        """Positions that an utterance may fill: text, prompt and new frames."""
        return min(max_position_embeddings, self.max_length or max_position_embeddings)

    @property
    def guided(self) -> bool:
        """Whether drawing a frame takes the text-free companion."""
        return self.cfg != 1
