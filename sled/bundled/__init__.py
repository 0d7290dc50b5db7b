"""The small models that come with the package, so that it can speak without a download."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BundledVoice:
    """One checkpoint, trained for both layouts; its codec is the folder `codec` in it.

    Attributes:
        folder: Where it lies.
        description: What it can say, which scripts print before it speaks.
        example: Something to say.
    """

    folder: Path
    description: str
    example: str


BUNDLED_VOICES = {
    "english": BundledVoice(
        Path(__file__).parent / "english",
        "Speaking with the bundled voice english, which has learned for a few hours on a processor "
        "and gets about one word in sixteen wrong (digits says digits, and gets them right). Name "
        "another model with --model_name_or_path.",
        "Speech starts while the text is still being written.",
    ),
    "digits": BundledVoice(
        Path(__file__).parent / "digits",
        "Speaking with the bundled voice digits: it knows strings of English digits, such as "
        '"four two seven", and nothing else. Name another model with --model_name_or_path.',
        "four two seven",
    ),
}
DEFAULT_VOICE = "english"


def bundled_voice(name_or_path: str | Path | None) -> BundledVoice | None:
    """The voice of this name, or the default one for None; nothing if it is another model."""
    if name_or_path is None:
        return BUNDLED_VOICES[DEFAULT_VOICE]
    if Path(name_or_path).is_dir():  # a checkpoint of one's own may be called so, too
        return None
    return BUNDLED_VOICES.get(str(name_or_path))
