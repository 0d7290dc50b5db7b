"""The small model that comes with the package, so that it speaks without a model hub."""

from pathlib import Path

# One checkpoint, trained for both layouts; its codec is the folder `codec` in it.
BUNDLED_MODEL = Path(__file__).parent / "digits"
# What it can say, printed by the scripts when no other model is named.
DESCRIPTION = (
    'Speaking with the bundled model: it knows strings of English digits, such as "four two '
    'seven", and nothing else. Name another with --model_name_or_path.'
)
