"""Corpora spoken by a teacher voice."""
