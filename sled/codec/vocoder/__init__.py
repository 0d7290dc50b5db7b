"""Vocoders: mel spectrograms to sound."""
