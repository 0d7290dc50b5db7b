"""The small models and the codec that come with the package, so that it needs no download."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BundledModel:
    """A checkpoint that was trained for both layouts; its codec is the folder `codec` in it.

    Attributes:
        folder: The checkpoint folder.
        speaks: What it can say, in a few words.
        example: A text for it to say.
    """

    folder: Path
    speaks: str
    example: str


BUNDLED_MODELS = {
    "english": BundledModel(
        Path(__file__).parent / "english",
        "any English text, about one word in eighteen wrong",
        "Speech starts while the text is still being written.",
    ),
    "digits": BundledModel(
        Path(__file__).parent / "digits",
        'strings of English digits, such as "four two seven", and nothing else',
        "four two seven",
    ),
}
DEFAULT_MODEL = "english"
BUNDLED_CODECS = {"spectral": Path(__file__).parent / "spectral"}
"""Codecs without a model of their own, to train on."""


def tokenizer_folder(name_or_path: str | Path) -> str | Path:
    """Where the tokenizer of this name is: of a bundled model, in its folder."""
    bundled = bundled_model(name_or_path)
    return name_or_path if bundled is None else bundled.folder


def codec_folder(name_or_path: str | Path) -> str | Path:
    """Where the codec of this name is: of a model with its own codec, in the folder `codec` in it.

    Args:
        name_or_path: A bundled codec or model, the folder of a model that has a folder `codec`, or
            a codec, which is returned as it is.
    """
    if str(name_or_path) in BUNDLED_CODECS and not Path(name_or_path).is_dir():
        return BUNDLED_CODECS[str(name_or_path)]
    folder = Path(tokenizer_folder(name_or_path)).expanduser()
    return folder / "codec" if (folder / "codec").is_dir() else name_or_path


def bundled_model(name_or_path: str | Path | None) -> BundledModel | None:
    """The bundled model of this name, or None if there is none.

    Args:
        name_or_path: A name. None: the default model. A folder of that name is preferred to the
            bundled model.
    """
    if name_or_path is None:
        return BUNDLED_MODELS[DEFAULT_MODEL]
    if Path(name_or_path).is_dir():
        return None
    return BUNDLED_MODELS.get(str(name_or_path))
