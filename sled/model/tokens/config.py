"""The settings of language models of speech tokens, and the published way of speaking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from typing_extensions import override

from sled.model.config import KEYS, Config, Speaking

# The published front end speaks texts in parts of so many text tokens, and continues recordings of
# so many seconds.
SEGMENT_TOKENS, PROMPT_S = 80, 30.0
# The share of samples that were learned without their text. As published there are none.
_DROPPED = "training_cfg"


def published_speaking(trained_frames: int) -> Speaking:
    """The published way of drawing: no guidance, 2 to 20 speech tokens for a text token.

    Args:
        trained_frames: Speech tokens of the longest samples in published training.
    """
    return Speaking(
        cfg=1.0,
        min_frames_per_token=2.0,
        max_frames_per_token=20.0,
        trained_frames=trained_frames,
        length_tolerance=1.0,
        top_p=0.8,
        top_k=25,
        repetition_window=10,
        repetitions=1,
    )


@dataclass
class TokenConfig(Config):
    """The settings of a speech-token model.

    Attributes:
        flat: The sizes in its `config.json`.
        mix_ratio: Text tokens and speech tokens in a chunk of the streaming layout. None: the model
            was not trained in one. By default, models speak in the offline layout.
        text_end: The token after every text, before the one that begins speech. None: there is
            none.
        has_spare_ids: Whether the codec may have fewer ids of speech than the model.
        known_ids: How many ids of speech the codec has, if these are fewer. None: all, or there is
            no codec.
    """

    flat: dict[str, Any] = field(default_factory=dict)
    mix_ratio: tuple[int, int] | None = None
    text_end: int | None = None
    has_spare_ids: bool = False
    known_ids: int | None = None

    def __post_init__(self) -> None:
        self._published = replace(self.speaking)

    def take_settings(self, flat: Mapping[str, Any]) -> None:
        """Take settings of speaking, and `training_cfg`, from a `config.json`.

        Others stay as published.

        Raises:
            ValueError: If one is not possible.
        """
        given = {
            one.name: flat[key]
            for key, (part, one) in KEYS.items()
            if part == "speaking" and key in flat
        }
        self.speaking = replace(self.speaking, **given)
        if _DROPPED in flat:
            self.objective = replace(self.objective, **{_DROPPED: flat[_DROPPED]})

    @property
    @override
    def text_end_id(self) -> int | None:
        return self.text_end

    @property
    @override
    def streaming_chunks(self) -> tuple[int, int] | None:
        return self.mix_ratio

    @property
    @override
    def most_segment_tokens(self) -> int | None:
        return SEGMENT_TOKENS

    @property
    @override
    def most_prompt_s(self) -> float | None:
        return PROMPT_S

    @override
    def to_dict(self) -> dict[str, Any]:
        """Return the content of `config.json`: sizes, and settings that are not as published."""
        settings = {
            key: getattr(self.speaking, one.name)
            for key, (part, one) in KEYS.items()
            if part == "speaking"
            and getattr(self.speaking, one.name) != getattr(self._published, one.name)
        }
        if self.objective.training_cfg:
            settings[_DROPPED] = self.objective.training_cfg
        return {**self.flat, **settings}
