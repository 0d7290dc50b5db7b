"""SLED: streaming text-to-speech in a continuous latent space.

`import sled` is cheap: each name below is imported, with torch, when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from sled.startup import without_garbage_collection

if TYPE_CHECKING:
    from sled.decoding import DecodingOptions as DecodingOptions
    from sled.model.layout import Layout as Layout
    from sled.speech import Speech as Speech
    from sled.streaming.marks import Mark as Mark
    from sled.streaming.options import SessionOptions as SessionOptions
    from sled.streaming.session import Session as Session
    from sled.streaming.session import SessionState as SessionState
    from sled.streaming.voice import Prompt as Prompt
    from sled.streaming.voice import Voice as Voice
    from sled.tts import TTS as TTS

__version__ = "0.1.0"

_MODULES = {
    "TTS": "sled.tts",
    "DecodingOptions": "sled.decoding",
    "Layout": "sled.model.layout",
    "Mark": "sled.streaming.marks",
    "Prompt": "sled.streaming.voice",
    "Session": "sled.streaming.session",
    "SessionOptions": "sled.streaming.options",
    "SessionState": "sled.streaming.session",
    "Speech": "sled.speech",
    "Voice": "sled.streaming.voice",
}

__all__ = [*_MODULES, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with without_garbage_collection():
        value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """All names, also those not imported yet."""
    return sorted({*globals(), *_MODULES})
