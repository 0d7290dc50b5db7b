"""Invertible transforms of a codec's latents."""
