"""SLED: streaming text-to-speech in a continuous latent space."""

__version__ = "0.1.0"

from sled.startup import without_garbage_collection

with without_garbage_collection():
    from sled.decoding import DecodingOptions
    from sled.model.layout import Layout
    from sled.streaming.session import Session, SessionState
    from sled.streaming.voice import Voice
    from sled.tts import TTS, Prompt, Speech

__all__ = [
    "TTS",
    "DecodingOptions",
    "Layout",
    "Prompt",
    "Session",
    "SessionState",
    "Speech",
    "Voice",
    "__version__",
]
