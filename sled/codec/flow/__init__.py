"""Flows: speech tokens to mel spectrograms."""
