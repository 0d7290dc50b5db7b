"""SLED: streaming text-to-speech in a continuous latent space."""

__version__ = "0.1.0"

from sled.decoding import DecodingOptions
from sled.tts import TTS, Prompt, Speech

__all__ = ["TTS", "DecodingOptions", "Prompt", "Speech", "__version__"]
