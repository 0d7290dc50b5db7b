"""Simulated typing, playback and clients, to measure streaming."""
