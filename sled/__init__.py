"""SLED: streaming text-to-speech in a continuous latent space."""

__version__ = "0.1.0"
