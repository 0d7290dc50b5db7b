"""Corpora spoken by teachers: other text-to-speech systems."""
