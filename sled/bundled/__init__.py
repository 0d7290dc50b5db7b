"""The small model that comes with the package, so that it speaks without a model hub."""

from pathlib import Path

LAYOUTS = ("offline", "stream")
# What the bundled model can say, printed by the scripts when no other model is named.
DESCRIPTION = (
    'Speaking with the bundled model: it knows strings of English digits, such as "four two '
    'seven", and nothing else. Name another with --model_name_or_path.'
)


def bundled_model(layout: str) -> Path:
    """Folder of the bundled checkpoint of a layout, "offline" or "stream"; its codec is beside it.

    Raises:
        ValueError: For another layout.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout={layout!r}: choose one of {', '.join(LAYOUTS)}")
    return Path(__file__).parent / "digits" / layout
